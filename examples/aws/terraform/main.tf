# The role with which a broker provisions and revokes access in one account. Its policy is ../broker-policy.json,
# restricted to the names in the variables.

terraform {
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

locals {
  iam = "arn:${var.partition}:iam::${var.account}"
  eks = "arn:${var.partition}:eks:*:${var.account}"

  roles         = [for name in var.roles : "${local.iam}:role/${name}"]
  users         = [for name in var.users : "${local.iam}:user/${name}"]
  session_roles = [for name in var.session_roles : "${local.iam}:role/${name}"]
  pod_roles     = [for name in var.pod_roles : "${local.iam}:role/${name}"]
  grant_roles   = var.dynamic_roles ? ["${local.iam}:role/cloudanix-jit/jit-*"] : []
  associations  = [for name in var.eks_clusters : "${local.eks}:podidentityassociation/${name}/*"]
  clusters      = [for name in var.eks_clusters : "${local.eks}:cluster/${name}"]

  attached = { ArnEquals = { "iam:PolicyARN" = var.policies } }

  # A statement without a resource is left out.
  statements = [
    {
      Sid      = "ReadWhatMayBeGiven"
      Action   = ["iam:GetPolicy", "iam:GetPolicyVersion"]
      Resource = var.policies
    },
    {
      Sid      = "ReadQuotasAndOwnRoles"
      Action   = ["iam:GetAccountSummary", "iam:ListRoles"]
      Resource = ["*"]
    },
    {
      Sid = "RolesOfBoundaries"
      Action = [
        "iam:PutRolePolicy",
        "iam:GetRolePolicy",
        "iam:DeleteRolePolicy",
        "iam:ListRolePolicies",
        "iam:ListAttachedRolePolicies",
      ]
      Resource = concat(local.roles, local.session_roles, local.pod_roles)
    },
    {
      Sid       = "AttachToRolesOfBoundaries"
      Action    = ["iam:AttachRolePolicy", "iam:DetachRolePolicy"]
      Resource  = length(var.policies) > 0 ? local.roles : []
      Condition = local.attached
    },
    {
      Sid = "UsersOfBoundaries"
      Action = [
        "iam:PutUserPolicy",
        "iam:GetUserPolicy",
        "iam:DeleteUserPolicy",
        "iam:ListUserPolicies",
        "iam:ListAttachedUserPolicies",
      ]
      Resource = local.users
    },
    {
      Sid       = "AttachToUsersOfBoundaries"
      Action    = ["iam:AttachUserPolicy", "iam:DetachUserPolicy"]
      Resource  = length(var.policies) > 0 ? local.users : []
      Condition = local.attached
    },
    {
      Sid       = "MakeRolesOfGrants"
      Action    = ["iam:CreateRole"]
      Resource  = local.grant_roles
      Condition = var.permissions_boundary == "" ? null : { StringEquals = { "iam:PermissionsBoundary" = var.permissions_boundary } }
    },
    {
      Sid = "RolesOfGrants"
      Action = [
        "iam:TagRole",
        "iam:GetRole",
        "iam:DeleteRole",
        "iam:PutRolePolicy",
        "iam:GetRolePolicy",
        "iam:DeleteRolePolicy",
        "iam:ListRolePolicies",
        "iam:ListAttachedRolePolicies",
        "iam:DetachRolePolicy",
        "iam:ListInstanceProfilesForRole",
      ]
      Resource = local.grant_roles
    },
    {
      Sid      = "EmptyRolesOfGrants"
      Action   = ["iam:RemoveRoleFromInstanceProfile"]
      Resource = var.dynamic_roles ? ["${local.iam}:instance-profile/*"] : []
    },
    {
      Sid      = "Sessions"
      Action   = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
      Resource = concat(local.session_roles, local.grant_roles)
    },
    {
      Sid = "PodIdentities"
      Action = [
        "eks:CreatePodIdentityAssociation",
        "eks:ListPodIdentityAssociations",
        "eks:TagResource",
      ]
      Resource = concat(local.clusters, local.associations)
    },
    {
      Sid      = "PodIdentitiesOfGrants"
      Action   = ["eks:DescribePodIdentityAssociation", "eks:DeletePodIdentityAssociation"]
      Resource = local.associations
    },
    {
      Sid       = "RolesForPods"
      Action    = ["iam:PassRole"]
      Resource  = local.pod_roles
      Condition = { StringEquals = { "iam:PassedToService" = "pods.eks.amazonaws.com" } }
    },
    {
      Sid      = "LookAtRolesForPods"
      Action   = ["iam:GetRole"]
      Resource = local.pod_roles
    },
  ]

  policy = {
    Version = "2012-10-17"
    Statement = [
      for statement in local.statements : merge(
        { Effect = "Allow" },
        { for key, value in statement : key => value if value != null },
      ) if length(statement.Resource) > 0
    ]
  }

  trust = {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheBrokerAndNobodyElse"
      Effect    = "Allow"
      Principal = { AWS = var.broker_principal_arn }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
    }]
  }
}

resource "aws_iam_role" "broker" {
  name                 = var.name
  description          = "cloudanix-jit: gives and takes back grants"
  assume_role_policy   = jsonencode(local.trust)
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "broker" {
  name   = "grants"
  role   = aws_iam_role.broker.id
  policy = jsonencode(local.policy)
}
