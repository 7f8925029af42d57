"""Forecasts several series of different lengths from windows of them.

    .venv/bin/python examples/windows.py

The series are made here.
"""

import numpy as np

import stokehold as sh

PAST, AHEAD = 48, 12


def series(rng: np.random.Generator, hours: int) -> np.ndarray:
    """Returns hourly temperatures as they might be: days, a drift and noise that stays for a while."""
    noise = np.convolve(rng.normal(0, 1, hours + 23), np.ones(24) / 24, "valid")
    phase = rng.uniform(0, 2 * np.pi)
    return (10 + 5 * np.sin(np.arange(hours) * 2 * np.pi / 24 + phase) + 4 * noise).astype(np.float32)


def main() -> None:
    """Fits a linear forecast to windows in a random order, and compares it with yesterday's temperatures."""
    rng = np.random.default_rng(0)
    stations = [series(rng, hours) for hours in (900, 2000, 1300, 700)]
    train = sh.Windows({"t": stations[:3]}, PAST, horizon=AHEAD)
    test = sh.Windows({"t": stations[3]}, PAST, stride=AHEAD, horizon=AHEAD)
    print(train)
    squares, products = np.zeros((PAST + 1, PAST + 1)), np.zeros((PAST + 1, AHEAD))
    with sh.Loader(train, batch_size=64, shuffle=True, num_workers=2) as loader:
        for batch in loader:
            past = np.column_stack([batch["t"], np.ones(len(batch["t"]))])
            squares += past.T @ past
            products += past.T @ batch["t_horizon"]
    weights = np.linalg.solve(squares + 1e-3 * np.eye(PAST + 1), products)
    with sh.Loader(test, batch_size=len(test)) as loader:
        batch = next(iter(loader))
        past, ahead = batch["t"], batch["t_horizon"]
        found = np.column_stack([past, np.ones(len(past))]) @ weights
        error, naive = (float(np.abs(each - ahead).mean()) for each in (found, past[:, -24 : AHEAD - 24]))
    print(f"off by {error:.2f} degrees in the {AHEAD} hours ahead; yesterday's are off by {naive:.2f}")


if __name__ == "__main__":
    main()
