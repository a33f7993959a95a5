//! The part of `[aws]` that the reconciler uses; the section's schema is the target's own.

use engine::Reconciling;
use targets::aws::AwsConfig;

pub(crate) fn reconciling(aws: &AwsConfig) -> Reconciling {
    Reconciling { every: aws.reconcile_every.into(), grace: aws.orphan_grace.into(), orphans: aws.orphans }
}
