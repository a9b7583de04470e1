//! The rules that can be switched off, and the bounds of a schedule.

/// One rule; the tests show what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A live version that is covered here and for which nothing is held was deleted and collected: it is dropped.
    Drop,
    /// Each start begins an epoch that no other life of the node can have had.
    Epoch,
    /// A peer's vector is taken over only when nothing that came with it was parked, void or left.
    Claim,
    /// A vector is told without what is parked.
    Lower,
    /// A batch of the log of which something was parked counts only as far as its beginning, and one of which
    /// something was void or left does not count at all: the entry stands for other versions of its key.
    Batch,
    /// A batch counts only for who covers the beginning of every epoch in it: entries of one epoch replace those of
    /// another.
    Whole,
    /// A node ships its own log only: what a session taught it of a life that its directory forgot, it does not ship.
    Logged,
    /// What is younger than the grace cannot have been deleted and collected, and is never dropped.
    Guard,
    /// A node whose clock was ahead takes its stamps back.
    Recall,
    /// It does so for stamps of lives that its directory forgot, too.
    Strange,
    /// A key of which a version was void is not "nothing held".
    Blank,
    /// A node that its peers find ahead takes no writes.
    Refuse,
    /// A node whose clock disagrees neither recalls nor drops nor collects nor folds.
    Agree,
    /// While it disagrees, it leaves a covered version for which it holds nothing for later.
    Leave,
    /// A key of which some version is parked is not "nothing held".
    Waiting,
    /// A void current version gives way to the newest good one in the history.
    Fallback,
    /// What was dropped or collected masks what is older in the history.
    Mask,
    /// The age of a version written anew counts from the start of its epoch, not from its old stamp.
    Since,
    /// What was collected or dropped since is gone even for a blank key.
    Bound,
    /// A delete is collected when all that any member had heard of when everybody covered it is covered by everybody.
    Rounds,
    /// An owner that was given everything by every member covers the numbers of its lost lives that they heard of.
    Adopt,
    /// A recalled version is written anew with its old stamp less the measured offset.
    Offset,
    /// Ended epochs that every member covers alike are folded into a marker.
    Fold,
    /// The owner folds by what members told it in this life, not by what an older life knew.
    Fresh,
    /// The owner folds nothing while a member has a later marker than itself.
    Behind,
    /// Who holds a version names its epoch in the vector, even when it covers nothing of it.
    Named,
    /// A later marker is taken over with a claim only, never by hearsay.
    Proven,
    /// A node whose epoch others believe folded begins a new one and writes its records anew.
    Renew,
}

impl Rule {
    pub(crate) const ALL: [Self; 28] = [
        Self::Drop,
        Self::Epoch,
        Self::Claim,
        Self::Lower,
        Self::Batch,
        Self::Whole,
        Self::Logged,
        Self::Guard,
        Self::Recall,
        Self::Strange,
        Self::Blank,
        Self::Refuse,
        Self::Agree,
        Self::Leave,
        Self::Waiting,
        Self::Fallback,
        Self::Mask,
        Self::Since,
        Self::Bound,
        Self::Rounds,
        Self::Adopt,
        Self::Offset,
        Self::Fold,
        Self::Fresh,
        Self::Behind,
        Self::Named,
        Self::Proven,
        Self::Renew,
    ];
}

/// A set of rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules(u32);

impl Rules {
    pub(crate) const ALL: Self = Self(u32::MAX);

    pub(crate) const fn without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u32))
    }

    pub(crate) const fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }
}

/// A record stamped further ahead than this is parked.
pub(crate) const LIMIT: i64 = 8;
/// The ordinary difference between clocks.
pub(crate) const SPREAD: i64 = 6;
/// Age from which a delete may be collected.
pub(crate) const GRACE: i64 = 40;
/// Age from which an epoch may be folded.
pub(crate) const FOLD_AGE: i64 = 2 * GRACE;
