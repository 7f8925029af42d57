//! Where a loader is, and how another one goes on there: also over a source that has grown.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    handle::{Backend, Loader, closed},
    lock::lock,
    planner::Planner,
    shared_source::{bytes_of, shared},
    state::State,
    tick::Tick,
};
use crate::{
    coordinator::First,
    error::{Error, Result},
    sampler::{Cut, CutSpec, Table},
};

impl Loader {
    /// Returns where the loader is: the batches handed out so far are behind, all others before it.
    pub fn state(&self) -> State {
        let reached = lock(&self.iterations).reached();
        State { grown: self.grown(), ..self.state_at(reached) }
    }

    fn state_at(&self, (epoch, cursor): (u64, u64)) -> State {
        let cut = self.sampler.cut.as_ref().map(Cut::spec);
        let earlier = self.earlier(epoch);
        State::new(&self.sampler, &self.facts, cut, self.options.num_workers, (epoch, cursor), earlier)
    }

    /// Makes the next iteration begin where `state` was taken, with any number of workers, batch size and world size.
    ///
    /// # Errors
    /// [`Error::Config`] for a state of another version, seed, order or source, with a cursor beyond its end, or in the middle
    /// of a sample that the cut keeps whole.
    pub fn load_state(&self, state: &State) -> Result<()> {
        let own = self.state_at((state.epoch, state.cursor));
        state.check(&own)?;
        self.go_on(state, &own, state.grown.clone())
    }

    /// The same, where the source may have more samples than it had, behind those that it had: the epoch that was reached goes on
    /// over these, and all samples are in the epochs after it, or in that one, where nothing of it had been handed out.
    ///
    /// That the first samples are those that there were is told from the classes, from what [`load_state`](Self::load_state)
    /// looks at, from the lengths of a [cut](super::Builder::cut), and from the file names, or keys, of some of them; what is in
    /// them is not read. Calls `tick` while it waits for the pool.
    ///
    /// # Errors
    /// As above; [`Error::Config`] too where the first samples are others, the source has fewer than it had, or the order or a mosaic
    /// depends on all of them; [`Error::Worker`] where the pool is over.
    pub fn load_grown_state(&self, state: &State, tick: Tick<'_>) -> Result<()> {
        let Some(had) = state.samples.filter(|had| (1..self.facts.len).contains(had)) else {
            return self.load_state(state);
        };
        let First { identity, draws_others } = self.first(had, tick)?;
        let facts = self.facts.of_first(identity);
        if let Some(order) = &state.order
            && !self.sampler.order.goes_on_when_grown()
        {
            return Err(Error::Config(format!(
                "this state cannot be resumed: order={} depends on all samples, and the source has {} now, and had {had}; \
                 shuffle, Repeated and Explicit go on over those that there were",
                order.name, self.facts.len
            )));
        }
        if draws_others {
            return Err(Error::Config(format!(
                "this state cannot be resumed: a Mosaic draws from all samples, and the source has {} now, and had {had}",
                self.facts.len
            )));
        }
        let (sampler, cut) = (self.sampler.of_first(had), self.cut_of_first(had)?);
        let place = (state.epoch, state.cursor);
        let own = State::new(&sampler, &facts, cut.as_deref(), self.options.num_workers, place, Vec::new());
        state.check(&own)?;
        state.check_names(&own)?;
        let begun = if state.cursor > 0 { Some(state.epoch) } else { state.epoch.checked_sub(1) };
        let mut grown = state.grown.clone();
        // Of epochs that had fewer samples still, it is known.
        grown.extend(begun.filter(|begun| grown.last().is_none_or(|(last, _)| last < begun)).map(|last| (last, had)));
        self.go_on(state, &own, grown)
    }

    /// Makes the next iteration begin where `state` was taken, which was checked and would be `own` here, where earlier epochs
    /// had these samples.
    fn go_on(&self, state: &State, own: &State, grown: Vec<(u64, u64)>) -> Result<()> {
        let epoch = state.epoch;
        let (earlier, cursor) = state.continued(own)?;
        let before = (self.grown(), self.earlier(epoch));
        self.set_grown(&grown)?;
        self.set_earlier(epoch, earlier);
        let checked = self.plan(epoch).and_then(|()| State::check_cursor(cursor, self.sampler.units(epoch)));
        if checked.is_err() {
            self.set_grown(&before.0)?;
            self.set_earlier(epoch, before.1);
        }
        checked?;
        lock(&self.iterations).load(epoch, cursor);
        Ok(())
    }

    /// Returns how many samples the source had up to which epoch, where that were fewer: pairs of the last epoch and the samples.
    pub fn grown(&self) -> Vec<(u64, u64)> {
        self.sampler.grown()
    }

    /// Takes what [`grown`](Self::grown) of another loader over the same source returns.
    ///
    /// # Errors
    /// [`Error::Config`] where epochs or samples do not rise, or there were as many samples as there are.
    pub fn set_grown(&self, grown: &[(u64, u64)]) -> Result<()> {
        if grown == self.grown() {
            return Ok(());
        }
        let rises = grown.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        let are_fewer = grown.iter().all(|(_, samples)| (1..self.facts.len).contains(samples));
        if !rises || !are_fewer {
            return Err(Error::Config(format!(
                "this state cannot be resumed: grown must be pairs of an epoch and the samples up to it, both rising, below {}, \
                 not {grown:?}",
                self.facts.len
            )));
        }
        // Where there is none, it is a pair that says nothing.
        let words: Vec<u64> = grown.iter().flat_map(|(last, samples)| [*last, *samples]).chain([0, 0]).collect();
        let memory = shared(bytemuck::cast_slice(&words))?;
        self.sampler.give_grown(Table::over(bytes_of(&memory)));
        self.planner.iter().for_each(Planner::forget);
        *lock(&self.unsent_grown) = Some(Arc::clone(&memory));
        self.is_changed.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns the cut of the first samples alone.
    fn cut_of_first(&self, samples: u64) -> Result<Option<Cow<'_, CutSpec>>> {
        let (Some(cut), Some(planner)) = (&self.sampler.cut, &self.planner) else { return Ok(None) };
        cut.spec().of_first(planner.lengths(), samples).map(Some)
    }

    /// Returns what there is to know of the first samples of the source.
    fn first(&self, samples: u64, tick: Tick<'_>) -> Result<First> {
        self.check_usable()?;
        match &mut *lock(&self.backend) {
            Backend::Inline(inline) => return Ok(inline.first(samples)),
            Backend::Pool(pool) => pool.ask_first(samples)?,
            Backend::Closed => return Err(closed()),
        }
        let mut ticked = Instant::now();
        loop {
            self.check_usable()?;
            if let Backend::Pool(pool) = &mut *lock(&self.backend)
                && let Some(first) = pool.try_first(samples)?
            {
                return Ok(first);
            }
            self.wait(tick, &mut ticked)?;
        }
    }
}
