"""Who exists: traits by their distributions, types met again, pasts that were possible."""

import numpy as np
import pytest
from scipy import stats

from longplay.envs.users.population import PAST_DAYS
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import aged, content, make_catalog, small

MANY = 4000


@pytest.fixture(scope="module")
def people(catalog):
    return build_world(catalog, small(shape__users=MANY)).people


def test_sensitivity_and_recovery_are_log_normal_around_their_medians(people):
    p = small().params
    for trait, median, spread in (
        ("sensitivity", p.satiation_sensitivity, p.satiation_sensitivity_spread),
        ("recovery", p.satiation_recovery, p.satiation_recovery_spread),
    ):
        assert stats.kstest(people[trait], stats.lognorm(spread, scale=median).cdf).pvalue > 1e-4


def test_visit_rate_and_chronotype_are_normal(people):
    p = small().params
    for trait, spread in (("visit_rate", p.gap_between_users), ("chronotype", p.day_chronotype)):
        assert stats.kstest(people[trait], stats.norm(0, spread).cdf).pvalue > 1e-4


def test_frailty_is_normal_and_comes_with_the_same_people(people, catalog):
    assert not people["frailty"].any()  # as the scenario has none
    frail = build_world(catalog, small(shape__users=MANY, churn__frailty=0.8)).people
    assert stats.kstest(frail["frailty"], stats.norm(0, 0.8).cdf).pvalue > 1e-4
    rest = [name for name in people.dtype.names if name != "frailty"]
    assert content(frail[rest]) == content(people[rest])
    for trait in ("sensitivity", "recovery", "leave_logit", "visit_rate", "chronotype"):
        assert abs(stats.spearmanr(frail["frailty"], people[trait])[0]) < 4.5 / np.sqrt(MANY)


@pytest.mark.parametrize(("a", "b"), [(1.65, 5.85), (0.4, 0.4)])
def test_base_rates_of_leaving_are_beta_and_clipped(catalog, a, b):
    scenario = small(shape__users=MANY, leave__beta_a=a, leave__beta_b=b)
    rate = 1 / (1 + np.exp(-build_world(catalog, scenario).people["leave_logit"]))
    beta = stats.beta(a, b)
    low, high = 0.01 + 1e-9, 0.95 - 1e-9
    assert (rate.min(), rate.max()) >= (0.01 - 1e-9, 0)
    assert rate.max() <= 0.95 + 1e-9
    for clipped, chance in (((rate <= low).sum(), beta.cdf(0.01)), ((rate >= high).sum(), beta.sf(0.95))):
        assert stats.binomtest(int(clipped), MANY, chance).pvalue > 1e-4
    inside = rate[(rate > low) & (rate < high)]
    within = lambda x: (beta.cdf(x) - beta.cdf(0.01)) / (beta.cdf(0.95) - beta.cdf(0.01))  # noqa: E731
    assert stats.kstest(inside, within).pvalue > 1e-4


def test_traits_are_independent_of_each_other(people):
    traits = np.array([people[n] for n in ("sensitivity", "recovery", "leave_logit", "visit_rate", "chronotype")])
    found = stats.spearmanr(traits.T)[0][np.triu_indices(5, 1)]
    assert np.abs(found).max() < 4.5 / np.sqrt(MANY)


def test_pasts_are_uniform_in_time_and_in_order(people):
    uniform = stats.uniform(PAST_DAYS[0], PAST_DAYS[1] - PAST_DAYS[0])
    assert stats.kstest(people["past_age"].ravel(), uniform.cdf).pvalue > 1e-4
    assert (np.diff(people["past_age"], axis=1) >= 0).all()


def test_without_spread_users_differ_in_taste_alone(catalog):
    still = {f"satiation__{n}_spread": 0.0 for n in ("sensitivity", "recovery")}
    scenario = small(gap__between_users=0.0, day__chronotype=0.0, leave__beta_a=1000.0, leave__beta_b=1000.0, **still)
    people = build_world(catalog, scenario).people
    for trait in ("sensitivity", "recovery", "visit_rate", "chronotype"):
        assert len(set(people[trait])) == 1
    assert np.abs(people["leave_logit"]).max() < 0.2
    assert len(np.unique(people["taste"], axis=0)) == 200


@pytest.mark.parametrize("types", [1, 7, 200, 1000])
def test_types_are_met_again_among_the_users(catalog, types):
    people = build_world(catalog, small(shape__types=types)).people
    assert len(people) == 200
    assert len(np.unique(people["taste"], axis=0)) == min(types, 200)
    for start in range(0, 200 - types, types):
        again = people[start : start + types]
        assert content(again) == content(people[: len(again)])


def test_what_was_read_had_appeared_and_was_read_after_that(catalog):
    world = build_world(catalog, aged())
    people, born = world.people, world.born
    assert (born[people["past_items"]] <= -PAST_DAYS[0]).all()
    assert (people["past_age"] <= np.maximum(-born[people["past_items"]], PAST_DAYS[0]) + 1e-9).all()
    assert (people["past_age"] >= PAST_DAYS[0]).all()
    assert (np.diff(people["past_age"], axis=1) >= 0).all()
    assert all(len(set(past)) == 8 for past in people["past_items"].tolist())


def test_what_ages_was_read_at_an_exponential_age(catalog):
    """Mean `items.life`, cut where the past would be nearer or longer ago than a past may be."""
    world = build_world(catalog, aged())
    past, life = world.people["past_age"], world.scenario.params.items_life
    existed = -world.born[world.people["past_items"]]
    free = (past > PAST_DAYS[0]) & (past < PAST_DAYS[1])
    assert free.mean() > 0.5
    cdf = stats.expon(scale=life).cdf
    low, high = cdf(np.maximum(existed - PAST_DAYS[1], 0)), cdf(existed - PAST_DAYS[0])
    share = ((cdf(existed - past) - low) / (high - low))[free]
    assert stats.kstest(share, "uniform").pvalue > 1e-4


def test_items_appear_evenly_in_the_order_of_their_publication(catalog):
    world = build_world(catalog, aged())
    born = world.born[1:]
    first = -(PAST_DAYS[1] + 3 * 4.0)
    assert (np.diff(born[np.argsort(catalog.published, kind="stable")]) > 0).all()
    np.testing.assert_allclose(np.diff(np.sort(born)), (30.0 - first) / 300, rtol=1e-4)
    assert first < born.min() < born.max() < 30.0
    assert (build_world(catalog, small()).born < -1e8).all()  # items that do not age have always been there


def test_a_world_too_young_for_a_past_is_refused():
    with pytest.raises(ValueError, match=r"of 20 items only \d have appeared .*, fewer than a past of 8; add"):
        build_world(make_catalog(20), aged(items__life=0.1, horizon__days=3000.0))


def test_topics_are_the_largest_of_an_item_and_their_shares_sum_to_1():
    world = build_world(make_catalog(unlabelled=1.0), small())
    items = world.items[1:]
    np.testing.assert_allclose(items["share"].sum(axis=1), 1.0, rtol=1e-6)
    assert (np.diff(items["share"], axis=1) <= 0).all()
    assert all(len(set(topics)) == 4 for topics in items["topic"].tolist())
    rows = np.arange(300)[:, None]
    np.testing.assert_array_equal(world.topics[1:][rows, items["topic"]], items["share"])
    assert not world.topics.flags.writeable
