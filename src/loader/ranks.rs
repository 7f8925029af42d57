//! Which of several trainers this one is, by what a launcher says in the environment.

use crate::{
    error::{Error, Result},
    sys::limits,
};

/// What one that starts several trainers tells each of them: the variables of the rank and of the world size, and one that
/// is there only where it has started the process.
struct Launcher {
    name: &'static str,
    rank: &'static str,
    world_size: &'static str,
    needs: Option<&'static str>,
}

/// In the order in which they are asked, which is Python's.
const LAUNCHERS: [Launcher; 4] = [
    Launcher { name: "torchrun", rank: "RANK", world_size: "WORLD_SIZE", needs: None },
    // A batch script has them too, but is no rank: only a step is.
    Launcher { name: "SLURM", rank: "SLURM_PROCID", world_size: "SLURM_NTASKS", needs: Some("SLURM_STEP_NODELIST") },
    Launcher { name: "Open MPI", rank: "OMPI_COMM_WORLD_RANK", world_size: "OMPI_COMM_WORLD_SIZE", needs: None },
    Launcher { name: "PMI", rank: "PMI_RANK", world_size: "PMI_SIZE", needs: None },
];

/// The trainers of this machine.
const LOCAL: [&str; 3] = ["LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];

/// This trainer's number, how many there are, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ranks {
    /// This trainer's number.
    pub rank: u32,
    /// The number of trainers.
    pub world_size: u32,
    /// `"torchrun"`, `"SLURM"`, `"Open MPI"`, `"PMI"`, or `"nothing"` where there is one trainer.
    pub by: &'static str,
}

impl Ranks {
    /// Returns what torchrun, SLURM (in a step), Open MPI or PMI say in the environment, in this order; one trainer, where
    /// none of them says anything.
    ///
    /// # Errors
    /// [`Error::Config`] where one has set one of its two variables alone, or to what is no number, or to a rank that is
    /// none of so many.
    pub fn from_env() -> Result<Self> {
        Self::said_by(|name| std::env::var(name).ok())
    }

    fn said_by(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let said = |name: &str| variable(name).filter(|text| !text.is_empty());
        let mut half = None;
        for Launcher { name, rank, world_size, needs } in LAUNCHERS {
            if needs.is_some_and(|needs| said(needs).is_none()) {
                continue;
            }
            match (said(rank), said(world_size)) {
                (None, None) => {}
                (Some(number), Some(size)) => {
                    return Self::checked(whole(rank, &number)?, whole(world_size, &size)?, name);
                }
                // Of a run of one trainer, which Lightning has said so.
                (None, Some(size)) if size == "1" => {}
                (Some(number), None) => half = half.or(Some((rank, number, world_size))),
                (None, Some(size)) => half = half.or(Some((world_size, size, rank))),
            }
        }
        match half {
            None => Ok(Self { rank: 0, world_size: 1, by: "nothing" }),
            Some((there, value, lacks)) => Err(Error::Config(format!(
                "the environment has {there}={value} but no {lacks}, so nobody knows which part of the samples is this \
                 trainer's: give rank and world_size (0 and 1 for all samples)"
            ))),
        }
    }

    fn checked(rank: u32, world_size: u32, by: &'static str) -> Result<Self> {
        if rank < world_size {
            return Ok(Self { rank, world_size, by });
        }
        Err(Error::Config(format!("rank {rank} is not below world_size {world_size} ({by})")))
    }
}

/// Returns how many trainers share this machine, as far as a launcher says so.
pub(super) fn local_world_size() -> Result<u32> {
    let said = LOCAL.iter().find_map(|name| Some((name, std::env::var(name).ok().filter(|text| !text.is_empty())?)));
    said.map_or(Ok(1), |(name, text)| whole(name, &text))
}

/// Returns how many workers suit one of so many trainers on this machine: processors by affinity and quota, shared.
pub fn auto_workers(trainers: usize) -> usize {
    (limits::processors() / trainers.max(1)).max(1)
}

fn whole(name: &str, text: &str) -> Result<u32> {
    text.trim().parse().map_err(|_| Error::Config(format!("{name} is '{text}', not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<(u32, u32, &'static str)> {
        let said = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        Ranks::said_by(said).map(|ranks| (ranks.rank, ranks.world_size, ranks.by))
    }

    const SLURM: [(&str, &str); 2] = [("SLURM_PROCID", "2"), ("SLURM_NTASKS", "4")];

    #[test]
    fn launchers_are_asked_in_order() {
        assert_eq!(found(&[]).unwrap(), (0, 1, "nothing"));
        assert_eq!(found(&[("RANK", "1"), ("WORLD_SIZE", "3")]).unwrap(), (1, 3, "torchrun"));
        assert_eq!(found(&[("WORLD_SIZE", "1")]).unwrap(), (0, 1, "nothing"));
        assert_eq!(found(&[("RANK", ""), ("WORLD_SIZE", "")]).unwrap(), (0, 1, "nothing"));
        // A batch script, and a step of it.
        assert_eq!(found(&SLURM).unwrap(), (0, 1, "nothing"));
        let step = ("SLURM_STEP_NODELIST", "node[1-2]");
        assert_eq!(found(&[SLURM[0], SLURM[1], step]).unwrap(), (2, 4, "SLURM"));
        let both = [SLURM[0], SLURM[1], step, ("RANK", "7"), ("WORLD_SIZE", "8")];
        assert_eq!(found(&both).unwrap(), (7, 8, "torchrun"));
        let mpi = [("OMPI_COMM_WORLD_RANK", "5"), ("OMPI_COMM_WORLD_SIZE", "6")];
        assert_eq!(found(&mpi).unwrap(), (5, 6, "Open MPI"));
        assert_eq!(found(&[("PMI_RANK", "0"), ("PMI_SIZE", "2")]).unwrap(), (0, 2, "PMI"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let message = |variables: &[(&str, &str)]| found(variables).unwrap_err().to_string();
        assert!(message(&[("WORLD_SIZE", "2")]).contains("has WORLD_SIZE=2 but no RANK"));
        assert!(message(&[("RANK", "0")]).contains("has RANK=0 but no WORLD_SIZE"));
        assert!(message(&[("PMI_SIZE", "2")]).contains("has PMI_SIZE=2 but no PMI_RANK"));
        assert!(message(&[("RANK", "2"), ("WORLD_SIZE", "2")]).contains("rank 2 is not below world_size 2 (torchrun)"));
        assert!(message(&[("RANK", "0"), ("WORLD_SIZE", "two")]).contains("WORLD_SIZE is 'two', not a number"));
    }
}
