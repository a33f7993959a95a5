//! Stores sealed break-glass codes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::SealedCode;
use protocol::{BreakGlassCodeId, Timestamp};

use super::Memory;
use crate::break_glass::forget_after;
use crate::error::corrupt;
use crate::{ListedCode, SealedCodes, StoreError};

#[derive(Default)]
pub(super) struct Codes(BTreeMap<BreakGlassCodeId, SealedCode>);

impl Codes {
    pub(super) fn purge(&mut self, now: Timestamp) {
        self.0.retain(|_, code| now < forget_after(code));
    }
}

#[async_trait]
impl SealedCodes for Memory {
    async fn add_sealed_codes(&self, new: &[SealedCode]) -> Result<(), StoreError> {
        let known = &mut self.kept().sealed_codes.0;
        if new.iter().any(|code| known.values().any(|one| one.id == code.id || one.hash == code.hash)) {
            return Err(corrupt("a break-glass code to be stored", "it is known"));
        }
        known.extend(new.iter().map(|code| (code.id.clone(), code.clone())));
        Ok(())
    }

    async fn sealed_code(&self, hash: &str) -> Result<Option<SealedCode>, StoreError> {
        Ok(self.kept().sealed_codes.0.values().find(|code| code.hash == hash).cloned())
    }

    async fn sealed_codes(&self, now: Timestamp) -> Result<Vec<ListedCode>, StoreError> {
        let kept = self.kept();
        let accepted = kept.sealed_codes.0.values().filter(|code| now < code.expires_at);
        let mut listed: Vec<ListedCode> = accepted
            .map(|code| ListedCode { code: code.clone(), used: kept.grants.has_consumed(&code.hash) })
            .collect();
        listed.sort_by_key(|listed| (listed.code.expires_at, listed.code.id.clone()));
        Ok(listed)
    }

    async fn remove_sealed_code(&self, id: &BreakGlassCodeId) -> Result<Option<SealedCode>, StoreError> {
        Ok(self.kept().sealed_codes.0.remove(id))
    }
}
