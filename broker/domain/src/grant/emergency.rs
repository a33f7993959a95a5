//! Transitions of a grant that was taken by break-glass: its review.

use protocol::{Actor, EventKind, Source, Timestamp};

use super::{Grant, State, Transition, WrongState};
use crate::break_glass::{BreakGlassStep, Review, next_review};
use crate::event::NewEvent;

impl Grant {
    /// When it has to be reviewed, or when channels are told next that it is not; none if it needs no review: it never
    /// became active, or was reviewed.
    pub fn review_until(&self) -> Option<Timestamp> {
        let never_active = matches!(self.state, State::Denied { .. } | State::Failed { .. });
        let unreviewed = self.break_glass.as_ref().filter(|broken| broken.review.is_none() && !never_active);
        unreviewed.map(|broken| broken.review_until)
    }

    /// Adds the review. The caller checks that `by` is another person.
    pub fn review(mut self, now: Timestamp, by: Actor, note: &str) -> Result<Transition, WrongState> {
        let is_over = matches!(self.state, State::Revoked { .. });
        let Some(broken) = self.break_glass.as_mut().filter(|broken| is_over && broken.review.is_none())
        else {
            return Err(self.cannot("be reviewed"));
        };
        broken.review = Some(Review { by: by.clone(), at: now, note: note.to_owned() });
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
        let is_over = matches!(self.state, State::Revoked { .. });
        let Some(broken) = self.break_glass.as_mut().filter(|broken| is_over && broken.review.is_none())
        else {
            return Err(self.cannot("be overdue for review"));
        };
        broken.review_until = next_review(now);
        let event = NewEvent::new(now, EventKind::BreakGlass, "not reviewed by another person in time")
            .with(BreakGlassStep::FIELD, BreakGlassStep::ReviewOverdue.as_str());
        Ok(Transition { grant: self, events: vec![event] })
    }
}
