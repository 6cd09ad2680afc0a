"""What reads a sequence of tokens, oldest first, so that each position's vector depends on no later one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

HOURS = 24.0  # ages enter as the logarithm of one plus hours


def pick_last(values: Tensor, last: Tensor) -> Tensor:
    """Row ``last[b]`` of each user: (B, T, D) and (B,) to (B, D)."""
    return values[torch.arange(len(values), device=values.device), last]


class Recency(nn.Module):
    """How much less an item weighs for being further back and longer ago: log weights, learned, for each head.

    Seen from position p, when p + 1 happens, token q is ``p - q`` tokens back and its age is the sum of the gaps from
    q to p. Both are the same in training and in an observation that ends with p.
    """

    def __init__(self, heads: int, longest: int) -> None:
        super().__init__()
        self.rank = nn.Parameter(torch.zeros(heads, longest))
        self.slope = nn.Parameter(torch.zeros(heads))

    def forward(self, gap: Tensor, last: Tensor | None) -> Tensor:
        """Log weights (B, heads, P, T) of T tokens from all T positions, or from the last alone; −∞ for later ones.

        Parameters
        ----------
        gap : (B, T)
            Days from each token to the next.
        last : (B,) int, optional
            The only position asked for.
        """
        elapsed = gap.cumsum(dim=1)
        places = torch.arange(gap.shape[1], device=gap.device)
        asked = places.expand(gap.shape) if last is None else last[:, None]
        age = elapsed.gather(1, asked)[:, :, None] - (elapsed - gap)[:, None, :]
        back = asked[:, :, None] - places
        log_age = torch.log1p(HOURS * age.clamp(min=0.0))
        weight = self.rank.T[back.clamp(0, self.rank.shape[1] - 1)].permute(0, 3, 1, 2)
        weight = weight - self.slope[:, None, None] * log_age[:, None]
        return weight.masked_fill((back < 0)[:, None], -torch.inf)


class Pool(nn.Module):
    """Mean of the tokens under learned recency: what a cell's vector is added to, and begins near."""

    def __init__(self, longest: int) -> None:
        super().__init__()
        self.recency = Recency(1, longest)

    def forward(self, tokens: Tensor, gap: Tensor, last: Tensor | None) -> Tensor:
        """Vectors (B, T, D), or (B, D) of the last positions."""
        vectors = torch.softmax(self.recency(gap, last)[:, 0], dim=2) @ tokens
        return vectors if last is None else vectors[:, 0]


class Recurrent(nn.Module):
    """GRU or LSTM."""

    def __init__(self, cell: str, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.run = kind(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)

    def forward(self, tokens: Tensor, gap: Tensor, last: Tensor | None) -> Tensor:
        """Vectors (B, T, D), or (B, D) of the last positions."""
        vectors: Tensor = self.run(tokens)[0]
        return vectors if last is None else pick_last(vectors, last)


class Block(nn.Module):
    """Pre-norm self-attention with learned recency, then two layers position by position."""

    def __init__(self, width: int, heads: int, dropout: float, longest: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.value, self.out = (nn.Linear(width, width) for _ in range(3))
        self.key = nn.Linear(width, width, bias=False)  # a bias would add the same to all weights
        self.recency = Recency(heads, longest)
        self.mix = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, gap: Tensor, last: Tensor | None) -> Tensor:
        """Vectors (B, P, D): of all positions, or of the last alone (P = 1), which costs a fraction."""
        normed, recency = self.norm(tokens), self.recency(gap, last)
        if last is None:
            query, key, value = (self._split_heads(part(normed)) for part in (self.query, self.key, self.value))
            read = functional.scaled_dot_product_attention(query, key, value, attn_mask=recency)
        else:
            tokens = pick_last(tokens, last)[:, None]
            read = self._attend_once(self._split_heads(self.query(pick_last(normed, last)[:, None])), normed, recency)
        tokens = tokens + self.dropout(self.out(read.transpose(1, 2).flatten(2)))
        vectors: Tensor = tokens + self.dropout(self.mix(self.norm_after(tokens)))
        return vectors

    def _attend_once(self, query: Tensor, tokens: Tensor, recency: Tensor) -> Tensor:
        """The same for one query (B, heads, 1, D / heads), whose key and value weights act on sums, not on tokens."""
        key, value = (
            projection.weight.view(self.heads, -1, projection.in_features) for projection in (self.key, self.value)
        )
        likeness = torch.einsum("bhqk,hkd->bhd", query, key) @ tokens.transpose(1, 2)
        weights = torch.softmax(likeness / query.shape[3] ** 0.5 + recency[:, :, 0], dim=2)
        attended = torch.einsum("bhd,hkd->bhk", weights @ tokens, value)
        return (attended + self.value.bias.view(self.heads, -1))[:, :, None]

    def _split_heads(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], self.heads, -1).transpose(1, 2)


class Transformer(nn.Module):
    """Causal self-attention, as in SASRec, with positions and ages counted back from the position that reads.

    It gives what the blocks add to a token, not the token with it: the pooled history takes its place, as the latest
    item says less of a user than all of them do.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float, longest: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, dropout, longest) for _ in range(layers))

    def forward(self, tokens: Tensor, gap: Tensor, last: Tensor | None) -> Tensor:
        """Vectors (B, T, D), or (B, D) of the last positions."""
        read = tokens
        for block in self.blocks[:-1]:
            read = block(read, gap, None)
        read = self.blocks[-1](read, gap, last)
        added: Tensor = read - tokens if last is None else read[:, 0] - pick_last(tokens, last)
        return added


class TargetAttention(nn.Module):
    """Attention between a candidate and the history, after the deep interest network.

    Token h weighs ``exp(recency + T·cos(key_h, query_n))`` for candidate n, its share being the weight over the sum of
    weights; the candidate's score is the shares' sum of ``value_h · item_n``. Recency is a factor of its own, so that
    all positions of a sequence share the products with all candidates. The user's vector for those who want one is the
    sum of values under a learned query; it adds to the score.
    """

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        self.key, self.candidate = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.query = nn.Parameter(torch.zeros(width))
        self.sharpness = nn.Parameter(torch.tensor(1.0))
        self.recency = Recency(2, longest)

    def forward(self, tokens: Tensor, gap: Tensor, last: Tensor | None) -> Tensor:
        """Vectors (B, T, D), or (B, D) of the last positions."""
        vectors = self.value_tokens(self._compute_pooling(tokens, gap, last) @ tokens)
        return vectors if last is None else vectors[:, 0]

    def value_tokens(self, tokens: Tensor) -> Tensor:
        """What each token, or a mean of tokens, says, (B, T, D)."""
        valued: Tensor = tokens + self.value(tokens)
        return valued

    def score_candidates(self, tokens: Tensor, gap: Tensor, last: Tensor | None, items: Tensor) -> Tensor:
        """Scores (B, P, C) of candidates (C, D) by attention alone."""
        recency, match = self._compute_factors(tokens, gap, last, items)
        worth = match * (self.value_tokens(tokens) @ items.T)
        return (recency @ worth) / (recency @ match)

    def compute_shares(self, tokens: Tensor, gap: Tensor, last: Tensor, items: Tensor) -> Tensor:
        """What each token adds to the score of one candidate (B, D) for each user, the pooled vector's part with it."""
        recency, match = self._compute_factors(tokens, gap, last, items[:, None])
        weights = recency[:, 0] * match[:, :, 0]
        weights = weights / weights.sum(dim=1, keepdim=True) + self._compute_pooling(tokens, gap, last)[:, 0]
        return weights * (self.value_tokens(tokens) @ items[:, :, None])[:, :, 0]

    def _compute_pooling(self, tokens: Tensor, gap: Tensor, last: Tensor | None) -> Tensor:
        """Shares (B, P, T) of tokens in the user's vector."""
        return torch.softmax(self.recency(gap, last)[:, 1] + (tokens @ (self.query @ self.key.weight))[:, None], dim=2)

    def _compute_factors(
        self, tokens: Tensor, gap: Tensor, last: Tensor | None, items: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weights (B, P, T) by recency, at most 1, and (B, T, C) by likeness with candidates."""
        log_weight = self.recency(gap, last)[:, 0]
        recency = torch.exp(log_weight - log_weight.amax(dim=2, keepdim=True).detach())
        keys = functional.normalize(self.key(tokens), dim=2)
        likeness = keys @ functional.normalize(self.candidate(items), dim=-1).transpose(-1, -2)
        return recency, torch.exp(functional.softplus(self.sharpness) * (likeness - 1.0))
