"""Time and memory of scoring with the built-in model: `python -m tests.classifier.bench`.

Comments are made up, so that it runs anywhere. Times are of the processor, not of the clock,
so that a busy machine changes little.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from classifier import Content, load
from classifier.cards import reader_card
from classifier.dice import Dice
from classifier.synthesis import offer_spam, praise_spam, reader_thanks


def comments(count: int, longest: int, rng: Dice) -> list[Content]:
    """Return made-up comments of up to `longest` characters, of honest readers and spammers."""
    sentences = [
        example.content.body
        for example in (*offer_spam(300, rng), *praise_spam(300, rng), *reader_thanks(900, rng))
    ]
    made = []
    for _ in range(count):
        wanted = min(longest, int(rng.lognormvariate(5.1, 1.0)))
        body = ""
        while len(body) < wanted:
            body += rng.choice(sentences) + " "
        made.append(reader_card(Content(body[:longest]), rng))
    return made


def main() -> None:
    """Print the figures."""
    rng = Dice(0)
    model = load()
    batch = comments(4000, 2000, rng)
    model.score(batch[:300])
    begin = time.process_time()
    model.score(batch)
    spent = time.process_time() - begin
    length = sum(len(content.body) for content in batch) / len(batch)
    print(f"batch: {len(batch) / spent:,.0f} comments a second of {length:.0f} characters")
    single = []
    for content in batch[:2000]:
        begin = time.process_time()
        model.score([content])
        single.append((time.process_time() - begin) * 1000.0)
    middle, late = np.quantile(single, [0.5, 0.99])
    print(f"one comment: p50 {middle:.2f} ms, p99 {late:.2f} ms")
    for name, text in (("look-alikes", "\u0441\u0435"), ("words", "word "), ("links", "a.com ")):
        begin = time.process_time()
        model.score([Content(text * (10_000 // len(text)))])
        print(f"10,000 characters of {name}: {(time.process_time() - begin) * 1000.0:.1f} ms")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
