//! Slots without a layout, for batches whose size nobody knows before they are made.
//!
//! They lie in *blocks* of shared memory, several in one. How large they are is learned: as large as batches have been
//! lately, but at most half as large again as they are on average, since every slot is once used by the largest batch that
//! it can hold, and keeps its pages then. A rare batch that is larger takes memory of its own. Slots of another size are not
//! used again, and a block without a slot in use goes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    error::Result,
    sys::{limits, memory::SharedMemory, process},
};

/// Up to this size a block is as large as all before it.
const LARGEST_BLOCK: usize = 64 << 20;
/// How many batches are looked back at.
const RECENT: usize = 16;
/// For so many batches slots are kept that are far too large, or too many.
const PATIENCE: usize = 32;
const PAGE: usize = 4096;

/// What a slot's size is learned from.
#[derive(Debug, Default)]
struct Sizes {
    recent: [usize; RECENT],
    seen: usize,
    mean: usize,
    /// For how many batches slots of half the size would have done.
    too_large: usize,
}

impl Sizes {
    /// Takes in a batch's size, and returns the size that slots are to have from now on.
    fn learn(&mut self, used: usize, now: usize) -> usize {
        self.recent[self.seen % RECENT] = used;
        self.seen += 1;
        let count = self.seen.min(RECENT);
        self.mean = (self.mean * (count - 1) + used) / count;
        let largest = self.recent.iter().copied().max().unwrap_or(used);
        let wanted = slot_size(largest.min(self.mean + self.mean / 2));
        self.too_large = if wanted <= now / 2 { self.too_large + 1 } else { 0 };
        if wanted > now || self.too_large > PATIENCE {
            self.too_large = 0;
            return wanted;
        }
        now
    }
}

/// Returns the size of slots for batches of `used` bytes: an eighth more, or sizes that rise little by little would take
/// new slots each time.
fn slot_size(used: usize) -> usize {
    let step = (used.next_power_of_two() / 8).max(PAGE);
    (used + used / 8).div_ceil(step) * step
}

/// A slot that is free.
#[derive(Clone, Copy, Debug)]
struct Free {
    /// Where in its block it begins.
    offset: usize,
    /// Who had it last; none if nobody has yet.
    user: Option<usize>,
}

/// Shared memory that several slots lie in.
#[derive(Debug)]
struct Block {
    memory: Arc<SharedMemory>,
    slot: usize,
    free: Vec<Free>,
    /// Whether its slots are given out.
    open: bool,
}

impl Block {
    fn slots(&self) -> usize {
        self.memory.len() / self.slot
    }

    fn is_free(&self) -> bool {
        self.free.len() == self.slots()
    }
}

#[derive(Debug, Default)]
struct State {
    sizes: Sizes,
    size: usize,
    blocks: BTreeMap<u64, Block>,
    next: u64,
    /// The fewest free slots at a time, and how many batches ago that count began.
    spare: (usize, usize),
}

impl State {
    /// Lets blocks go that have no slot in use, of those that `which` says.
    fn drop_free(&mut self, which: impl Fn(&Block) -> bool) {
        self.blocks.retain(|_, block| {
            let goes = block.is_free() && which(block);
            if goes {
                // Workers map it still, until they hear of it.
                block.memory.discard(0..block.memory.len());
            }
            !goes
        });
    }

    /// Takes a free slot for a user: one that it has had before, whose pages it need not map anew, if there is one.
    fn pop(&mut self, user: usize) -> Option<(u64, &Block, usize)> {
        let open = || self.blocks.iter().filter(|(_, block)| block.open);
        let had = |block: &Block| block.free.iter().rposition(|free| free.user == Some(user));
        let own = open().find_map(|(&number, block)| Some((number, had(block)?)));
        let any = || open().find_map(|(&number, block)| Some((number, block.free.len().checked_sub(1)?)));
        let (number, at) = own.or_else(any)?;
        let block = self.blocks.get_mut(&number)?;
        let offset = block.free.remove(at).offset;
        Some((number, block, offset))
    }

    fn free_slots(&self) -> usize {
        self.blocks.values().filter(|block| block.open).map(|block| block.free.len()).sum()
    }

    /// Lets blocks go whose slots nobody has needed for a while.
    fn drop_spare(&mut self) {
        let (fewest, since) = self.spare;
        self.spare = (fewest.min(self.free_slots()), since + 1);
        if self.spare.1 < PATIENCE {
            return;
        }
        let mut left = self.spare.0;
        self.spare = (usize::MAX, 0);
        // One to spare stays, as sizes and times vary.
        left = left.saturating_sub(1);
        let goes: Vec<u64> = self
            .blocks
            .iter()
            .filter(|(_, block)| block.open && block.is_free())
            .filter(|(_, block)| {
                let goes = block.slots() <= left;
                left -= if goes { block.slots() } else { 0 };
                goes
            })
            .map(|(&number, _)| number)
            .collect();
        for number in goes {
            if let Some(block) = self.blocks.remove(&number) {
                block.memory.discard(0..block.memory.len());
            }
        }
    }
}

/// All slots of a loader's trainer.
#[derive(Debug)]
pub struct Blocks {
    /// A copy in a forked process must leave the memory alone.
    owner: i32,
    state: Mutex<State>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { owner: process::own_pid(), state: Mutex::default() }
    }
}

impl Blocks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a slot for a batch that a user of this number makes; none as long as nobody knows how large batches are.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where a slot does not fit under a limit of this process, and
    /// [`Error::Sys`](crate::Error::Sys) where the system refuses it.
    pub fn take(self: &Arc<Self>, user: usize) -> Result<Option<FreeSlot>> {
        let mut state = self.state();
        if state.size == 0 {
            return Ok(None);
        }
        let open = |block: &Block| block.open && !block.free.is_empty();
        if !state.blocks.values().any(open) {
            let have: usize = state.blocks.values().filter(|block| block.open).map(|block| block.memory.len()).sum();
            let size = state.size;
            let count = (have.min(LARGEST_BLOCK) / size).max(1);
            let memory = make(size, count).or_else(|error| if count > 1 { make(size, 1) } else { Err(error) })?;
            let free = (0..memory.len() / size).rev().map(|at| Free { offset: at * size, user: None }).collect();
            let number = state.next;
            state.next += 1;
            state.blocks.insert(number, Block { memory: Arc::new(memory), slot: size, free, open: true });
        }
        Ok(state.pop(user).map(|(number, block, offset)| {
            let memory = Arc::clone(&block.memory);
            FreeSlot { blocks: Arc::clone(self), memory, number, offset, size: block.slot, user: Some(user) }
        }))
    }

    /// Takes all slots that are free, so that a worker may give their pages back.
    pub fn take_free(self: &Arc<Self>) -> Vec<FreeSlot> {
        let mut state = self.state();
        let open = state.blocks.iter_mut().filter(|(_, block)| block.open);
        open.flat_map(|(&number, block)| {
            let (memory, size) = (Arc::clone(&block.memory), block.slot);
            std::mem::take(&mut block.free).into_iter().map(move |free| (Arc::clone(&memory), number, free, size))
        })
        .map(|(memory, number, Free { offset, user }, size)| FreeSlot {
            blocks: Arc::clone(self),
            memory,
            number,
            offset,
            size,
            user,
        })
        .collect()
    }

    /// Takes in how many bytes a batch took.
    pub fn learn(&self, used: usize) {
        let mut state = self.state();
        let now = state.size;
        state.size = state.sizes.learn(used, now);
        if state.size == now {
            state.drop_spare();
        } else {
            state.blocks.values_mut().for_each(|block| block.open = false);
            state.spare = (usize::MAX, 0);
            state.drop_free(|block| !block.open);
        }
    }

    /// Gives all memory back that no batch lies in. How large slots are to be is known still.
    pub fn clear(&self) {
        if self.owner == process::own_pid() {
            let mut state = self.state();
            state.blocks.values_mut().for_each(|block| block.open = false);
            state.drop_free(|block| !block.open);
            for block in state.blocks.values() {
                for free in &block.free {
                    block.memory.discard(free.offset..free.offset + block.slot);
                }
            }
        }
    }

    /// Returns the number of the oldest block that there is; those before it are gone.
    pub fn oldest(&self) -> u64 {
        let state = self.state();
        state.blocks.keys().next().copied().unwrap_or(state.next)
    }

    /// Returns how many slots there are, and how many of them are free.
    pub fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.blocks.values().map(Block::slots).sum(), state.blocks.values().map(|block| block.free.len()).sum())
    }

    /// Returns the bytes of all blocks.
    pub fn bytes(&self) -> usize {
        self.state().blocks.values().map(|block| block.memory.len()).sum()
    }

    fn give_back(&self, number: u64, free: Free) {
        if self.owner != process::own_pid() {
            return;
        }
        let mut state = self.state();
        if let Some(block) = state.blocks.get_mut(&number) {
            block.free.push(free);
            if !block.open {
                state.drop_free(|block| !block.open);
            }
        }
    }
}

fn make(size: usize, count: usize) -> Result<SharedMemory> {
    let bytes = size.saturating_mul(count);
    let advice = "lower batch_size or prefetch_factor, or raise the limit";
    limits::check_memory(bytes as u64, "the memory of a batch", advice)?;
    SharedMemory::create("stokehold-batch", bytes)
}

/// A slot that nobody writes to or has a view of. Dropping it gives it back.
#[derive(Debug)]
pub struct FreeSlot {
    blocks: Arc<Blocks>,
    memory: Arc<SharedMemory>,
    number: u64,
    offset: usize,
    size: usize,
    user: Option<usize>,
}

impl FreeSlot {
    /// Returns the memory that it lies in.
    pub fn memory(&self) -> &Arc<SharedMemory> {
        &self.memory
    }

    /// Returns the number of its block.
    pub fn block(&self) -> u64 {
        self.number
    }

    /// Returns where it begins in its block.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Never gives it back: a process that does not end may write to it at any time.
    pub fn lose(mut self) {
        self.size = 0;
    }
}

impl Drop for FreeSlot {
    fn drop(&mut self) {
        if self.size > 0 {
            self.blocks.give_back(self.number, Free { offset: self.offset, user: self.user });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Sends so many batches through, of which `ahead` are made at a time; returns the bytes of slots afterwards.
    fn run(blocks: &Arc<Blocks>, sizes: impl Iterator<Item = usize>, ahead: usize) -> usize {
        let mut flying = std::collections::VecDeque::new();
        for used in sizes {
            flying.push_back(blocks.take(0).unwrap());
            if flying.len() > ahead {
                flying.pop_front();
            }
            blocks.learn(used);
        }
        blocks.bytes()
    }

    #[test]
    fn each_user_gets_slots_again_that_it_has_had() {
        let blocks = Arc::<Blocks>::default();
        run(&blocks, [MIB; 4].into_iter(), 4);
        let where_it_is = |slot: &FreeSlot| (slot.block(), slot.offset());
        let take = |user| blocks.take(user).unwrap().unwrap();
        let slots: Vec<_> = (0..6).map(|at| take(1 + at % 2)).collect();
        let of = |user: usize| slots.iter().skip(user - 1).step_by(2).map(where_it_is).collect::<Vec<_>>();
        let (of_one, of_two) = (of(1), of(2));
        drop(slots);
        for _ in 0..3 {
            for (user, own) in [(2, &of_two), (1, &of_one)] {
                let again: Vec<_> = (0..3).map(|_| take(user)).collect();
                assert!(again.iter().all(|slot| own.contains(&where_it_is(slot))));
            }
            // What rests between epochs is still known.
            drop(blocks.take_free());
        }
        // Rather another one's than new memory.
        let all: Vec<_> = (0..6).map(|_| take(1)).collect();
        assert!(of_two.iter().all(|own| all.iter().map(where_it_is).any(|slot| slot == *own)));
    }

    #[test]
    fn nobody_knows_the_size_of_the_first_batches() {
        let blocks = Arc::new(Blocks::default());
        assert!(blocks.take(0).unwrap().is_none());
        blocks.learn(5000);
        let slot = blocks.take(0).unwrap().unwrap();
        assert_eq!((slot.size(), slot.offset(), slot.block()), (8192, 0, 0));
    }

    #[test]
    fn slots_are_used_again() {
        let blocks = Arc::new(Blocks::default());
        blocks.learn(MIB);
        let held = run(&blocks, std::iter::repeat_n(MIB, 500), 8);
        assert!(held <= 20 * MIB, "{held}");
    }

    #[test]
    fn a_rare_large_batch_makes_no_large_slots() {
        let blocks = Arc::new(Blocks::default());
        let sizes = (0..500).map(|at| if at % 10 == 9 { 24 * MIB } else { MIB });
        let held = run(&blocks, sizes, 8);
        // 9 are in use at a time.
        assert!(held < 9 * 24 * MIB / 2, "{held}");
    }

    #[test]
    fn slots_shrink_when_batches_do() {
        let blocks = Arc::new(Blocks::default());
        let large = run(&blocks, std::iter::repeat_n(16 * MIB, 50), 4);
        assert!(large >= 5 * 16 * MIB);
        let small = run(&blocks, std::iter::repeat_n(MIB, 100), 4);
        assert!(small <= 16 * MIB, "{small}");
    }

    #[test]
    fn what_was_held_once_is_given_back() {
        let blocks = Arc::new(Blocks::default());
        blocks.learn(MIB);
        let held: Vec<_> = (0..100).map(|_| blocks.take(0).unwrap()).collect();
        assert!(blocks.bytes() >= 100 * MIB);
        drop(held);
        let left = run(&blocks, std::iter::repeat_n(MIB, 1000), 4);
        assert!(left <= 40 * MIB, "{left}");
    }

    #[test]
    fn what_is_cleared_goes_and_what_is_held_stays() {
        let blocks = Arc::new(Blocks::default());
        blocks.learn(MIB);
        let held = blocks.take(0).unwrap().unwrap();
        drop(blocks.take(0).unwrap());
        blocks.clear();
        assert_eq!(blocks.count().0, 1);
        assert_eq!(blocks.oldest(), held.block());
        drop(held);
        assert_eq!((blocks.count(), blocks.bytes()), ((0, 0), 0));
        assert_eq!(blocks.oldest(), 2);
        assert!(blocks.take(0).unwrap().is_some());
    }

    #[test]
    fn a_lost_slot_never_comes_back() {
        let blocks = Arc::new(Blocks::default());
        blocks.learn(MIB);
        blocks.take(0).unwrap().unwrap().lose();
        assert_eq!(blocks.count(), (1, 0));
        blocks.clear();
        assert_eq!(blocks.count(), (1, 0));
    }

    #[test]
    fn free_slots_can_be_taken_all_at_once() {
        let blocks = Arc::new(Blocks::default());
        blocks.learn(MIB);
        let held: Vec<_> = (0..5).map(|_| blocks.take(0).unwrap()).collect();
        drop(held);
        let all = blocks.take_free();
        assert_eq!((all.len(), blocks.count().1), (blocks.count().0, 0));
        drop(all);
        assert_eq!(blocks.count().0, blocks.count().1);
    }
}
