//! Fields whose first transform is a call of a function.

use super::{
    fill::{Fill, Sample},
    kind::{Request, Role},
};
use crate::{
    error::{Failure, Result},
    function::ArraySpec,
    spec::FieldSpec,
    transform::{Between, CallInput, Calls, Workspace, failure},
};

/// Compiles a field whose payload are the values of an array, and whose first operation is a call.
pub(super) fn called(request: Request<'_>, given: Between) -> Result<(FieldSpec, Role)> {
    let input =
        CallInput { name: request.name, capacity: request.capacity, unbounded: request.unbounded, is_followed: false };
    let spec = given.spec.clone();
    let (calls, output) = Calls::compile(input, given, request.ops)?;
    Ok((output, Role::Alone(Box::new(CalledFill { at: request.at, given: spec, calls }))))
}

#[derive(Debug)]
struct CalledFill {
    at: usize,
    given: ArraySpec,
    calls: Calls,
}

impl Fill for CalledFill {
    fn fill(&self, sample: &mut Sample<'_>) -> Result<(), Failure> {
        let data = sample.payload(self.at);
        // Of a list, the first extent is as large as there are bytes for.
        let known: usize = self.given.shape.iter().flatten().product::<usize>() * self.given.dtype.size();
        let varying = data.len() / known.max(1);
        let shape: Vec<usize> = self.given.shape.iter().map(|extent| extent.unwrap_or(varying)).collect();
        let mut space = sample.scratch.take::<Workspace>();
        let mut target = sample.target(self.at);
        let filled = target.array(self.given.dtype, &shape).and_then(|mut array| {
            if array.bytes().len() != data.len() {
                return Err(failure(format!("a record of {} bytes is no {}", data.len(), self.given)));
            }
            array.bytes_mut().copy_from_slice(data);
            self.calls.run(array, &mut space, &mut target)
        });
        sample.scratch.put(space);
        filled
    }
}
