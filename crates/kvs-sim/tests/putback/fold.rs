//! Epochs that ended and that everybody covers alike need no entry: the owner raises its marker past them.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Event, Node};
use crate::rules::{FOLD_AGE, Rule};
use crate::vector::{Id, Vector};

impl Node {
    /// Raises the marker as far as the epochs before it are old and covered alike by every member.
    pub(crate) fn fold(&mut self) {
        if !self.rules.has(Rule::Fold) || self.disagrees() {
            return;
        }
        let reports = if self.rules.has(Rule::Fresh) { &self.heard } else { &self.known };
        let Some(reports) = self.others().map(|id| reports.get(&id)).collect::<Option<Vec<&Vector>>>() else {
            return;
        };
        let marker = self.vector.marker(self.id);
        if self.rules.has(Rule::Behind) && reports.iter().any(|report| report.marker(self.id) > marker) {
            return;
        }
        let told = self.told();
        let mut upto = self.epoch.born.min(self.now() - FOLD_AGE);
        let mut settled = Vec::new();
        for (epoch, _) in
            std::iter::once(&told).chain(reports.iter().copied()).flat_map(|v| v.epochs(self.id))
        {
            if epoch == self.epoch || epoch.born < marker {
                continue;
            }
            let everybody = || std::iter::once(&told).chain(reports.iter().copied());
            let highest = everybody().map(|vector| vector.highest(self.id, epoch)).max().unwrap_or(0);
            if everybody().all(|vector| vector.level(self.id, epoch) >= highest) {
                settled.push((epoch, highest));
            } else {
                upto = upto.min(epoch.born);
            }
        }
        settled.retain(|(epoch, _)| epoch.born < upto);
        if !settled.is_empty() {
            self.vector.fold(self.id, upto);
            self.events.push(Event::Folded { marker: upto, settled });
        }
    }

    /// A member has just given everything that it has. Once all have, this node knows what is left of its lost lives.
    pub(crate) fn adopt(&mut self, from: Id) {
        if !self.rules.has(Rule::Adopt) {
            return;
        }
        let highest = |(epoch, level)| (epoch, level, self.vector.highest(self.id, epoch));
        let ended = self.vector.epochs(self.id).filter(|(epoch, _)| *epoch != self.epoch).map(highest);
        let gaps: BTreeMap<_, _> = ended
            .filter(|(_, level, highest)| level < highest)
            .map(|(epoch, _, highest)| (epoch, highest))
            .collect();
        if self.adopting.0 != gaps {
            self.adopting = (gaps, BTreeSet::new());
        }
        self.adopting.1.insert(from);
        if self.others().all(|id| self.adopting.1.contains(&id)) {
            for (epoch, upto) in std::mem::take(&mut self.adopting.0) {
                self.vector.raise(self.id, epoch, upto);
                self.events.push(Event::Adopted { epoch, upto });
            }
        }
    }
}
