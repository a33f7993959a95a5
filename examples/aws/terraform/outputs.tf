output "role_arn" {
  description = "For `role` in the broker's `[aws.accounts.…]`."
  value       = aws_iam_role.broker.arn
}

output "policy" {
  description = "What the role may do."
  value       = jsonencode(local.policy)
}

output "session_role_trust" {
  description = "The trust policy for `session_roles`: the broker alone."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.broker.arn }
      Action    = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    }]
  })
}
