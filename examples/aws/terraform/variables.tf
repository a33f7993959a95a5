variable "account" {
  description = "The account in which grants are given: twelve digits. The provider has to be signed in there."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "Expected twelve digits."
  }
}

variable "partition" {
  description = "aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
}

variable "name" {
  description = "The name of the role by which the broker acts in this account."
  type        = string
  default     = "cloudanix-jit-broker"
}

variable "broker_principal_arn" {
  description = "The broker's own principal: the role of its machine, task or pod."
  type        = string
}

variable "external_id" {
  description = "A random text that only the broker's configuration and this module know."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.external_id) >= 16
    error_message = "Expected at least 16 characters."
  }
}

variable "policies" {
  description = "ARNs of the managed policies that boundaries name."
  type        = list(string)
  default     = []
}

variable "roles" {
  description = "Names of the roles that `static-principal` boundaries name."
  type        = list(string)
  default     = []
}

variable "users" {
  description = "Names of the users that `static-access-keys` boundaries name."
  type        = list(string)
  default     = []
}

variable "session_roles" {
  description = "Names of the roles that `dynamic-access-keys` boundaries name."
  type        = list(string)
  default     = []
}

variable "dynamic_roles" {
  description = "Whether there are boundaries with `dynamic-role`."
  type        = bool
  default     = false
}

variable "permissions_boundary" {
  description = "The ARN that every role of a grant has to have as its permissions boundary; empty for none."
  type        = string
  default     = ""
}

variable "eks_clusters" {
  description = "Names of the clusters that `pod-identity` boundaries name."
  type        = list(string)
  default     = []
}

variable "pod_roles" {
  description = "Names of the roles that pods may get."
  type        = list(string)
  default     = []
}
