//! The review of a grant that was taken by break-glass.

use protocol::{Actor, EventKind, Source, Timestamp};

use super::{Grant, State, Transition, WrongState};
use crate::break_glass::{BreakGlass, BreakGlassStep, Review, next_review};
use crate::event::NewEvent;

impl Grant {
    /// When it has to be reviewed, or when channels are told next that it is not; none if it needs no review: it never
    /// became active, or was reviewed.
    pub fn review_until(&self) -> Option<Timestamp> {
        let never_active = matches!(self.state, State::Denied { .. } | State::Failed { .. });
        let unreviewed = self.break_glass.as_ref().filter(|taken| taken.review.is_none() && !never_active);
        unreviewed.map(|taken| taken.review_until)
    }

    /// Adds the review. The caller checks that `by` is another person.
    pub fn review(mut self, now: Timestamp, by: Actor, note: &str) -> Result<Transition, WrongState> {
        let Some(taken) = self.unreviewed_after_its_end() else { return Err(self.cannot("be reviewed")) };
        taken.review = Some(Review { by: by.clone(), at: now, note: note.to_owned() });
        let text = format!("reviewed by {}: {note}", by.in_words());
        let event = NewEvent::new(now, EventKind::BreakGlass, text)
            .said_by(Source::Operator)
            .caused_by(Some(by))
            .with(BreakGlassStep::FIELD, BreakGlassStep::Reviewed.as_str())
            .with("note", note);
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// The time for the review is over: the event tells every channel.
    pub fn review_is_overdue(mut self, now: Timestamp) -> Result<Transition, WrongState> {
        let Some(taken) = self.unreviewed_after_its_end() else {
            return Err(self.cannot("be overdue for review"));
        };
        taken.review_until = next_review(now);
        let event = NewEvent::new(now, EventKind::BreakGlass, "not reviewed by another person in time")
            .with(BreakGlassStep::FIELD, BreakGlassStep::ReviewOverdue.as_str());
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// How it was taken, if it has ended and was not reviewed.
    fn unreviewed_after_its_end(&mut self) -> Option<&mut BreakGlass> {
        let has_ended = matches!(self.state, State::Revoked { .. });
        self.break_glass.as_deref_mut().filter(|taken| has_ended && taken.review.is_none())
    }
}
