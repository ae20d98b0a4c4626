"""The script of search_spaces/command_example.yaml: a small network learns to read digits that this script draws.

It knows nothing of asyrp-sweep. Its command line says what to do, and in a folder it leaves `curve.jsonl`, a line an
epoch, `metrics.json`, `items.csv` with a row for each test picture, and `weights.pt`, from which it goes on when it was
interrupted.
"""

import argparse
import csv
import json
from pathlib import Path

import torch
from torch import Tensor, nn

FONT = (
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111",
    "01110 10001 00001 00110 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)
"""Rows of the ten digits, 5 x 7."""
SIZE, NOISE = 12, 0.3
NUM_TRAIN, NUM_TEST, BATCH = 400, 500, 40


def draw(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (N, SIZE, SIZE) of the digits: turned, stretched and moved a little, with noise."""
    rows = [[[float(dot) for dot in row] for row in digit.split()] for digit in FONT]
    glyphs = nn.functional.pad(torch.tensor(rows), (1, 1, 1, 1))[labels].unsqueeze(1)  # (N, 1, 9, 7)
    random = torch.rand(len(labels), 5, generator=generator) * 2 - 1
    angle, wide, high = 0.15 * random[:, 0], 1.3 + 0.15 * random[:, 1], 1.1 + 0.1 * random[:, 2]
    turn = torch.stack([angle.cos() * wide, -angle.sin() * wide, 0.25 * random[:, 3]], 1)
    lean = torch.stack([angle.sin() * high, angle.cos() * high, 0.15 * random[:, 4]], 1)
    grid = nn.functional.affine_grid(
        torch.stack([turn, lean], 1), [len(labels), 1, SIZE, SIZE], align_corners=False
    )
    clean = nn.functional.grid_sample(glyphs, grid, align_corners=False).squeeze(1)
    return clean + NOISE * torch.randn(clean.shape, generator=generator)


def right(network: nn.Module, pictures: Tensor, labels: Tensor) -> Tensor:
    """1.0 for each picture that is read as its label, else 0.0."""
    network.eval()
    with torch.no_grad():
        scores: Tensor = network(pictures)
    return (scores.argmax(1) == labels).float()


def main() -> None:
    """Train and test with the settings of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument(
        "--noise", type=float, default=0.0, help="new noise on the training pictures, every epoch"
    )
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    drawing = torch.Generator().manual_seed(1000 + options.seed)
    labels = torch.arange(NUM_TRAIN + NUM_TEST) % 10
    pictures = draw(labels, drawing)
    train, test = pictures[:NUM_TRAIN], pictures[NUM_TRAIN:]
    network = nn.Sequential(
        nn.Flatten(),
        nn.Linear(SIZE * SIZE, options.width),
        nn.ReLU(),
        nn.Dropout(options.dropout),
        nn.Linear(options.width, 10),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate)
    checkpoint = options.out / "weights.pt"
    first = 1
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        drawing.set_state(state["drawing"])
        first = state["epoch"] + 1

    for epoch in range(first, options.epochs + 1):
        network.train()
        losses = []
        for rows in torch.randperm(NUM_TRAIN).reshape(-1, BATCH):
            batch = train[rows] + options.noise * torch.randn(train[rows].shape)
            loss = nn.functional.cross_entropy(network(batch), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        accuracy = right(network, test, labels[NUM_TRAIN:]).mean().item()
        row = {"epoch": epoch, "loss": sum(losses) / len(losses), "accuracy": accuracy}
        with (options.out / "curve.jsonl").open("a") as curve:
            print(json.dumps(row), file=curve)
        print(row, flush=True)
        state = {
            "epoch": epoch,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "drawing": drawing.get_state(),
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    num_parameters = sum(weights.numel() for weights in network.parameters())
    is_right = right(
        network, test, labels[NUM_TRAIN:]
    )  # again: a run that was cut off here has no epoch left
    metrics = {"accuracy": is_right.mean().item(), "num_parameters": num_parameters}
    (options.out / "metrics.json").write_text(json.dumps(metrics))
    with (options.out / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item", "accuracy"), *enumerate(is_right.tolist())])


if __name__ == "__main__":
    main()
