//! What joins the lines of a chain: what its section says, or what its pod asks for (`drave.io/multiline`). Pieces of records that had no
//! end at the last stop are read again when that is known.

use super::chain::Chain;
use super::follow::Follower;
use crate::input::Admission;
use crate::parse::{Defined, LineFormat, Multiline};
use std::sync::Arc;

impl Follower {
    /// Another multiline parser may be asked for by now: it is for later lines, and what is open is sent.
    pub(super) fn keep_joining(&mut self, id: u64) {
        let Some(chain) = self.chains.get(&id) else { return };
        if chain.multiline == chain.source.draft.multiline {
            return;
        }
        let (input, asked) = (chain.input, chain.source.draft.multiline.clone());
        self.flush(id, |_, joiner, batch| joiner.flush_traces(batch));
        let multiline = self.multiline(input, asked.as_deref());
        if let Some(chain) = self.chains.get_mut(&id) {
            chain.joiner.set_traces(multiline.as_ref());
            chain.multiline = asked;
        }
    }

    /// What joins whole lines of a section's files, where their pod asks for this.
    pub(super) fn multiline(&mut self, input: usize, asked: Option<&str>) -> Option<Arc<Multiline>> {
        let settings = &self.inputs[input];
        let Some(name) = asked.filter(|_| matches!(settings.format, LineFormat::Container { .. })) else {
            return settings.multiline.clone();
        };
        if let Some(known) = self.multilines.get(name) {
            return Some(Arc::clone(known));
        }
        let (parsers, multiline_parsers) = (&settings.parsers, &settings.multiline_parsers);
        // The filter has looked at the name.
        let named = Multiline::named([name].into_iter(), Defined { parsers, multiline_parsers }).ok()?;
        let named = Arc::new(named);
        self.multilines.insert(name.to_owned(), Arc::clone(&named));
        Some(named)
    }

    /// Takes in the pieces that waited for it to be known what joins them.
    pub(super) fn read_put_off(&mut self, id: u64) {
        let files = self.chains.get(&id).filter(|chain| chain.has_put_off()).map_or(0, |chain| chain.files.len());
        for index in 0..files {
            let Some(chain) = self.chains.get_mut(&id) else { return };
            let ranges = chain.files[index].progress.take_put_off();
            self.read_open_pieces(id, index, &ranges);
        }
    }

    /// The same at an end: nobody waits any longer for what is not known.
    pub(super) fn read_put_off_at_last(&mut self, id: u64) {
        let Some(chain) = self.chains.get_mut(&id).filter(|chain| chain.has_put_off()) else { return };
        if self.context.pipe.insist(&mut chain.source) == Admission::LeftOut {
            let bytes = chain.drop_put_off();
            self.context.pipe.skipped(self.inputs[chain.input].number, bytes);
            return;
        }
        self.keep_joining(id);
        self.read_put_off(id);
    }
}

impl Chain {
    /// Are pieces to be read again?
    pub(super) fn has_put_off(&self) -> bool {
        self.files.iter().any(|file| file.progress.has_put_off())
    }

    /// They are not wanted: so many bytes.
    pub(super) fn drop_put_off(&mut self) -> u64 {
        let ranges = self.files.iter_mut().flat_map(|file| file.progress.take_put_off());
        ranges.map(|(start, end)| end - start).sum()
    }
}
