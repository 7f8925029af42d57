//! What formats keep from one image to the next.

use std::any::Any;

/// Tables and buffers that a format uses again.
pub(super) trait Keep: Any + Send {
    /// Returns fresh ones. With `portable`, no instructions are used but those that every processor of its kind has.
    fn new(portable: bool) -> Self;
}

/// What has been kept so far: one value of each type that was asked for.
#[derive(Debug, Default)]
pub(super) struct Kept {
    portable: bool,
    values: Vec<Box<dyn Any + Send>>,
}

impl Kept {
    /// Returns one whose formats use no instructions but those that every processor of its kind has.
    pub(super) const fn portable() -> Self {
        Self { portable: true, values: Vec::new() }
    }

    /// Returns what was kept of a type, or makes it.
    pub(super) fn get<T: Keep>(&mut self) -> &mut T {
        let found = self.values.iter().position(|value| value.is::<T>());
        let at = found.unwrap_or_else(|| {
            self.values.push(Box::new(T::new(self.portable)));
            self.values.len() - 1
        });
        self.values[at].downcast_mut().expect("it was found by its type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u32);

    impl Keep for Count {
        fn new(_: bool) -> Self {
            Self(0)
        }
    }

    struct Portable(bool);

    impl Keep for Portable {
        fn new(portable: bool) -> Self {
            Self(portable)
        }
    }

    #[test]
    fn each_type_is_made_once_and_kept() {
        for (mut kept, portable) in [(Kept::default(), false), (Kept::portable(), true)] {
            for number in 0..3 {
                assert_eq!(kept.get::<Portable>().0, portable);
                assert_eq!(kept.get::<Count>().0, number);
                kept.get::<Count>().0 += 1;
            }
        }
    }
}
