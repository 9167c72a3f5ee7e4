"""The loss of distillation against a second computation of it in plain numbers."""

import math

import pytest
import torch

from launcher.data.mask import IGNORED
from launcher.train.divergence import Mix, distillation_loss, token_losses
from launcher.train.predicted import Logits, TopTokens, top_tokens

TOKENS, WORDS = 7, 11


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(one / temperature) for one in logits]
    return [one / sum(powers) for one in powers]


def kl(one: list[float], other: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(one, other, strict=True))


def slow(student: torch.Tensor, teacher: torch.Tensor, targets: torch.Tensor, mix: Mix) -> float:
    """The sum of the tokens' losses, number by number."""
    total = 0.0
    for mine, its, target in zip(student.tolist(), teacher.tolist(), targets.tolist(), strict=True):
        if target == IGNORED:
            continue
        q, p = softmax(mine, mix.temperature), softmax(its, mix.temperature)
        mean = [mix.beta * a + (1 - mix.beta) * b for a, b in zip(p, q, strict=True)]
        apart = {0.0: kl(p, q), 1.0: kl(q, p)}.get(
            mix.beta, mix.beta * kl(p, mean) + (1 - mix.beta) * kl(q, mean)
        )
        entropy = -math.log(softmax(mine, 1.0)[target])
        total += mix.alpha * entropy + (1 - mix.alpha) * mix.temperature**2 * apart
    return total


def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    student, teacher = (torch.randn(TOKENS, WORDS, generator=draw, dtype=torch.float64) for _ in range(2))
    targets = torch.randint(0, WORDS, (TOKENS,), generator=draw)
    targets[2] = IGNORED
    return student, 2 * teacher, targets


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 0.0), (2.0, 0.25)])
def test_the_loss_is_that_of_plain_numbers(beta: float, temperature: float, alpha: float):
    mix = Mix(beta=beta, temperature=temperature, alpha=alpha)
    student, teacher, targets = drawn()
    total, sums = distillation_loss(student, Logits(teacher), targets, mix)
    assert float(total) == pytest.approx(slow(student, teacher, targets, mix), rel=1e-5)
    parts = alpha * sums[1] + (1 - alpha) * temperature**2 * sums[0]
    assert float(parts) == pytest.approx(float(total), rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_chunks_give_the_gradient_of_the_whole(beta: float):
    mix = Mix(beta=beta, temperature=1.5, alpha=0.3)
    student, teacher, targets = drawn()
    whole = student.clone().requires_grad_()
    apart, entropies = token_losses(whole, Logits(teacher), targets, mix)
    (mix.alpha * entropies.sum() + (1 - mix.alpha) * mix.temperature**2 * apart.sum()).backward()
    chunked = student.clone().requires_grad_()
    two_tokens = 2 * WORDS
    (5 * distillation_loss(chunked, Logits(teacher), targets, mix, two_tokens)[0]).backward()
    assert whole.grad is not None and chunked.grad is not None
    assert torch.allclose(chunked.grad, 5 * whole.grad, atol=1e-6)
    assert not chunked.grad[2].any()


def test_a_student_that_predicts_as_its_teacher_has_no_divergence():
    _, teacher, targets = drawn()
    for beta in (0.0, 0.5, 1.0):
        total, sums = distillation_loss(
            teacher, Logits(teacher), targets, Mix(beta=beta, temperature=1.0, alpha=0.0)
        )
        assert abs(float(total)) < 1e-6 and abs(float(sums[0])) < 1e-6


def test_rows_of_a_head_that_only_one_of_both_models_has_are_left_out():
    student, teacher, targets = drawn()
    mix = Mix(beta=0.0, temperature=1.0, alpha=0.0)
    wider = torch.cat([teacher, torch.full((TOKENS, 5), 50.0, dtype=teacher.dtype)], 1)
    assert float(distillation_loss(student, Logits(wider), targets, mix)[0]) == pytest.approx(
        float(distillation_loss(student, Logits(teacher), targets, mix)[0]), rel=1e-6
    )


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_stored_words_of_the_whole_vocabulary_give_the_loss_of_the_logits(beta: float):
    mix = Mix(beta=beta, temperature=2.0, alpha=0.1)
    student, teacher, targets = drawn()
    ids, log_probs = top_tokens(teacher, WORDS, WORDS, mix.temperature)
    assert ids.shape == log_probs.shape == (TOKENS, WORDS)
    stored = distillation_loss(student, TopTokens(ids, log_probs, WORDS), targets, mix)
    whole = distillation_loss(student, Logits(teacher), targets, mix)
    assert float(stored[0]) == pytest.approx(float(whole[0]), abs=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_words_that_are_not_stored_count_as_one(beta: float):
    mix, top_k = Mix(beta=beta, temperature=1.5, alpha=0.0), 4
    student, teacher, targets = drawn()
    ids, log_probs = top_tokens(teacher, top_k, WORDS, mix.temperature)
    assert log_probs.shape == (TOKENS, top_k + 1)
    assert torch.allclose(log_probs.exp().sum(1), torch.ones(TOKENS))
    total = 0.0
    for mine, its, target in zip(student.tolist(), teacher.tolist(), targets.tolist(), strict=True):
        if target == IGNORED:
            continue
        q, p = softmax(mine, mix.temperature), softmax(its, mix.temperature)
        best = sorted(range(WORDS), key=lambda word: -p[word])[:top_k]
        p, q = ([one[word] for word in best] for one in (p, q))
        p, q = ([*one, 1 - sum(one)] for one in (p, q))
        mean = [mix.beta * a + (1 - mix.beta) * b for a, b in zip(p, q, strict=True)]
        between = mix.beta * kl(p, mean) + (1 - mix.beta) * kl(q, mean)
        total += mix.temperature**2 * {0.0: kl(p, q), 1.0: kl(q, p)}.get(beta, between)
    found = distillation_loss(student, TopTokens(ids, log_probs, WORDS), targets, mix)
    assert float(found[0]) == pytest.approx(total, rel=1e-4)
