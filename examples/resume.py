"""Stop in the middle of an epoch, and go on with other workers and another batch size.

The state is a few numbers. It says how far the epoch has come, not who read what, so that what is left is read exactly
once, whatever the new loader looks like.
"""

import json

import numpy as np

import stokehold as sh

SAMPLES = 10_000


def loader(batch_size: int, num_workers: int) -> sh.Loader:
    """Returns a loader over the same samples in the same order."""
    source = sh.Arrays({"x": np.arange(SAMPLES)})
    return sh.Loader(source, batch_size=batch_size, shuffle=True, seed=7, num_workers=num_workers)


def main() -> None:
    """Reads a part of an epoch with one loader and the rest with another."""
    first, second = [], []
    with loader(batch_size=64, num_workers=2) as before:
        for batch in before:
            first.extend(batch["x"].tolist())
            if len(first) >= 4_000:
                break
        state = json.dumps(before.state_dict())
    print(f"stopped after {len(first)} samples; the state has {len(state)} bytes:\n  {state}")

    with loader(batch_size=100, num_workers=1) as after:
        after.load_state_dict(json.loads(state))
        for batch in after:
            second.extend(batch["x"].tolist())
    print(f"went on with another batch size and another number of workers: {len(second)} samples")

    if sorted(first + second) != list(range(SAMPLES)):
        raise SystemExit("some samples were lost or seen twice")
    print(f"all {SAMPLES} samples were read exactly once")


if __name__ == "__main__":
    main()
