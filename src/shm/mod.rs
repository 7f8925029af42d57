//! The arena: shared memory cut into slots, each with room for one batch.
//!
//! A slot has exactly one owner at any time, and ownership moves only by a message. So nothing in this
//! memory is locked or atomic. The types say who may do what: a [`SlotMut`] is the right to write some rows
//! of a slot, a [`SlotRef`] is a finished batch that its holder has to itself; dropping it gives the slot back.

mod arena;
mod blocks;
mod bytes;
mod layout;
mod mailbox;
mod slot;

pub use self::{
    arena::Arena,
    blocks::{Blocks, FreeSlot},
    bytes::SharedBytes,
    layout::{BatchLayout, FieldLayout, Progress, Region, SlotLayout},
    mailbox::Mailbox,
    slot::{GiveBack, RowMut, SlotMut, SlotRef},
};
