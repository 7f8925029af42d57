//! The messages between trainer, coordinator and workers, and the typed channels that carry them.
//!
//! Every message is one datagram of [`MESSAGE_BYTES`] bytes. Whatever varies in length (an error's text, a
//! description, a reply's JSON) lies in shared memory, and the message says how long it is.
//! What the drop-in for PyTorch sends has been made by Python, and goes through [`Payloads`].

mod channel;
mod message;
mod payload;

pub use self::{
    channel::{Channel, Incoming},
    message::{Command, Done, Fill, Frame, MESSAGE_BYTES, Reply, Report, Request, Run, TableOf, Wire, Work},
    payload::{Arrival, Parcel, Payload, Payloads, Words},
};
