"""Messages on the bipartite graph of users and items, and the loss of its edges: a torch-geometric network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, LGConv

from ..histories.matrix import Matrix


class Propagation(nn.Module):
    """Item vectors from their own features and, round by round, from the users who consumed them.

    Users have no features of their own: what a user is comes from the items consumed alone. In round l = 0 .. L ::

        user_l     = message of the item_l of what was consumed
        item_l+1   = message of the user_l of those who consumed it

    and the vectors that are compared are the means over the rounds. This is LightGCN (He et al., 2020) with users that
    begin at zero, without the rounds in which a vector would be zero, or the same with the weights of GCN (Kipf &
    Welling, 2017) or the attention of GAT (Veličković et al., 2018). What a user gets is linear in the messages, so
    that a score is a sum over the items consumed.

    Parameters
    ----------
    matrix : (U, N + 1) sparse
        How much each user consumed of each item: the edges.
    texts : (N + 1, E) float32
        Unit text vectors, row 0 zeros.
    layer, features, loss : str
        As in `longplay.encoders.networks.graph.GraphOptions`.
    size : int
        Width D of all vectors.
    rounds : int
        L; 0 leaves items at their own features.
    heads : int
        Heads of the attention.
    negatives : int
        Items drawn in each step, the same for all of a batch; 0 for all that have an edge.
    l2 : float
        Weight of the mean squared length of the items' features in the loss.
    """

    user: Tensor
    item: Tensor
    weight: Tensor
    first: Tensor
    degree: Tensor
    known: Tensor
    popularity: Tensor
    texts: Tensor

    def __init__(
        self,
        matrix: Matrix,
        texts: NDArray[np.float32],
        *,
        layer: str,
        features: str,
        loss: str,
        size: int,
        rounds: int,
        heads: int,
        negatives: int,
        l2: float,
    ) -> None:
        super().__init__()
        self.layer, self.features, self.loss, self.rounds = layer, features, loss, rounds
        self.size, self.negatives, self.l2, self.users = size, negatives, l2, matrix.shape[0]
        counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
        strength = np.bincount(matrix.indices, matrix.data, matrix.shape[1])
        tensors = {
            "user": np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)),
            "item": matrix.indices.astype(np.int64),
            "weight": matrix.data,
            "first": matrix.indptr.astype(np.int64),
            "degree": (1.0 + strength).astype(np.float32),
            "known": counts > 0,
            "popularity": np.log1p(counts).astype(np.float32),
            "texts": texts,
        }
        for name, array in tensors.items():
            self.register_buffer(name, torch.from_numpy(np.array(array)), persistent=False)
        self.ids = nn.Parameter(torch.randn(matrix.shape[1], size) * 0.1) if features != "text" else None
        self.project = nn.Parameter(torch.randn(texts.shape[1], size) * size**-0.5) if features != "ids" else None
        self.bias = nn.Parameter(torch.ones(()))
        self.sharpness = nn.Parameter(torch.zeros(()))
        self.to_user = nn.ModuleList(self._make_convolution(heads) for _ in range(rounds + 1))
        self.to_item = nn.ModuleList(self._make_convolution(heads) for _ in range(rounds))

    def _make_convolution(self, heads: int) -> Any:
        """A convolution whose weights begin at the identity: far better here than at random, which mixes messages."""
        if self.layer == "gat":
            sizes, head_size = (self.size, self.size), self.size // heads
            conv: Any = GATConv(sizes, head_size, heads, add_self_loops=False, edge_dim=1, bias=False)
            nn.init.eye_(conv.lin_src.weight)
        elif self.layer == "gcn":
            conv = GCNConv(self.size, self.size, normalize=False, bias=False)
            nn.init.eye_(conv.lin.weight)
        else:
            conv = LGConv(normalize=False)
        return conv

    def compute_item_features(self) -> Tensor:
        """What items are before any message (N + 1, D); an item without edges has no learned vector of its own."""
        total = torch.zeros(len(self.known), self.size)
        if self.ids is not None:
            total = total + self.ids * self.known[:, None]
        if self.project is not None:
            total = total + self.texts @ self.project
        return total

    def propagate(self, edge_mask: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Vectors of items (N + 1, D) and of users (U, D) in each round, by the edges kept (a mask; all if None)."""
        user, item, weight = self.user, self.item, self.weight
        if edge_mask is not None:
            user, item, weight = user[edge_mask], item[edge_mask], weight[edge_mask]
        strength = torch.zeros(self.users).index_add(0, user, weight)
        edges, back = torch.stack([item, user]), torch.stack([user, item])
        value = weight * (strength[user] * self.degree[item]).rsqrt()
        items, users = [self.compute_item_features()], []
        user_vectors = torch.zeros(self.users, self.size)
        if self.layer == "gat":
            share = (weight / strength[user])[:, None]
            user_vectors = user_vectors.index_add(0, user, share * items[0][item])
        for level, conv in enumerate(self.to_user):
            user_vectors = self._send_messages(conv, items[level], user_vectors, edges, weight, value)
            users.append(user_vectors)
            if level < self.rounds:
                items.append(self._send_to_items(level, user_vectors, items[level], back, weight, value))
        return items, users

    def _send_to_items(
        self, level: int, users: Tensor, items: Tensor, back: Tensor, weight: Tensor, value: Tensor
    ) -> Tensor:
        """Vectors of items in the next round."""
        conv: Any = self.to_item[level]
        if self.layer == "lightgcn":
            return self._send_messages(conv, users, items, back, weight, value)
        received = self._send_messages(conv, users, items, back, weight, value)
        if self.layer == "gcn":  # the loop of each item to itself
            received = received + conv.lin(items) / self.degree[:, None]
        return nn.functional.elu(received)

    def _send_messages(
        self, conv: Any, source: Tensor, target: Tensor, edges: Tensor, weight: Tensor, value: Tensor
    ) -> Tensor:
        """Messages from source to target nodes along `edges` (2, e), numbered each on its own."""
        if self.layer == "gat":
            received: Tensor = conv((source, target), edges, weight[:, None])
            return received
        # These two know one kind of node only: the targets come after the sources.
        both = torch.cat([source, torch.zeros_like(target)])
        shifted = torch.stack([edges[0], edges[1] + len(source)])
        moved: Tensor = conv(both, shifted, value)
        return moved[len(source) :]

    def readout(self, vectors: list[Tensor]) -> Tensor:
        """Mean over the rounds."""
        return torch.stack(vectors).mean(dim=0)

    def compute_item_bias(self) -> Tensor:
        """What the score of each item has in common for all (N + 1): in proportion to log(1 + users who consumed)."""
        return self.bias * self.popularity

    def forward(self, edge: Tensor) -> Mapping[str, Tensor]:
        """The loss of some edges (b,), which bear no messages meanwhile: nobody is told what is asked."""
        edge_mask = torch.ones(len(self.user), dtype=torch.bool)
        edge_mask[edge] = False
        items, users = (self.readout(vectors) for vectors in self.propagate(edge_mask))
        user, item, weight = self.user[edge], self.item[edge], self.weight[edge]
        negatives = self._draw_negatives()
        vectors, bias = users[user] * self.sharpness.exp(), self.compute_item_bias()
        positive = (vectors * items[item]).sum(dim=1) + bias[item]
        negative = vectors @ items[negatives].T + bias[negatives]
        negative = negative.masked_fill(self._find_consumed(user, negatives), -torch.inf)
        if self.loss == "softmax":
            loss = torch.logsumexp(torch.cat([positive[:, None], negative], dim=1), dim=1) - positive
        else:
            pick = torch.randint(len(negatives), (len(edge), 1))
            loss = nn.functional.softplus(negative.gather(1, pick)[:, 0] - positive)
        total = (weight * loss).sum() / weight.sum()
        return {"loss": total + self.l2 * self.compute_item_features()[self.known].square().sum(dim=1).mean()}

    def _draw_negatives(self) -> Tensor:
        """Items to compete with, of those that have edges."""
        candidates = torch.nonzero(self.known)[:, 0]
        if self.negatives in range(1, len(candidates)):
            return candidates[torch.randperm(len(candidates))[: self.negatives]]
        return candidates

    def _find_consumed(self, user: Tensor, candidates: Tensor) -> Tensor:
        """Whether each user (b,) consumed each item drawn (m,), as (b, m)."""
        column = torch.full((len(self.known),), -1)
        column[candidates] = torch.arange(len(candidates))
        count = self.first[user + 1] - self.first[user]
        row = torch.repeat_interleave(torch.arange(len(user)), count)
        begin = torch.repeat_interleave(torch.cumsum(count, 0) - count, count)
        place = column[self.item[self.first[user][row] + torch.arange(len(row)) - begin]]
        mask = torch.zeros(len(user), len(candidates), dtype=torch.bool)
        mask[row[place >= 0], place[place >= 0]] = True
        return mask


def extract_attention_tables(conv: GATConv, items: Tensor) -> dict[str, Tensor]:
    """What a convolution's attention needs of items (N + 1, D), with C = D / heads.

    Returns
    -------
    dict of Tensor
        ``values`` (N + 1, heads, C), and parts of the logits: ``source`` (N + 1, heads) of items, ``target``
        (D, heads) by which a user's vector is multiplied, ``edge`` (heads) by which an edge's weight is.
    """
    values = conv.lin_src(items).view(len(items), conv.heads, -1)
    target = conv.lin_dst.weight.view(conv.heads, -1, items.shape[1])
    edge = conv.lin_edge.weight.view(conv.heads, -1)
    return {
        "values": values,
        "source": (values * conv.att_src).sum(dim=-1),
        "target": torch.einsum("hcd,hc->dh", target, conv.att_dst[0]),
        "edge": (edge * conv.att_edge[0]).sum(dim=-1),
    }
