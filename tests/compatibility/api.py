"""All that the files in ``saved`` are made and loaded with: where code moves, only this module follows."""

from longplay import ENVIRONMENTS
from longplay.agents.base import AgentSession as Following
from longplay.agents.base import select_users as rows
from longplay.agents.logs.collect import collect, make_env
from longplay.agents.logs.exploring import ExploringAgent as Exploring
from longplay.agents.logs.minari import read_minari, write_minari
from longplay.agents.logs.propensities import PlackettLuce
from longplay.agents.logs.propensities import make_weighted_score as weighted_scores
from longplay.agents.offline.agent import OfflineConfig
from longplay.agents.offline.agent import load_agent as load_offline
from longplay.agents.offline.agent import save_agent as save_offline
from longplay.agents.offline.data import log_lives, read_log, write_log
from longplay.agents.offline.learning import learn
from longplay.agents.playing.cross_entropy import CrossEntropyOptions as WeightSearch
from longplay.agents.playing.evaluate import Evaluator
from longplay.agents.playing.sweep import SweepOptions
from longplay.agents.references.linear import LinearOracle
from longplay.agents.registry import RULES
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.minutes import LEAVES, MinutesModel, PredictedMinutes, Trees
from longplay.agents.rules.minutes import log_minutes as logged_minutes
from longplay.agents.rules.tuning import TunedRule as Tuned
from longplay.agents.rules.tuning import load_rule, save_rule, tune
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import read_preset, write_preset
from longplay.agents.runs.progress import CHECKPOINT
from longplay.agents.runs.reading import load_agent
from longplay.agents.runs.search import SettingsSearch, run_trial
from longplay.agents.runs.spaces import make_run_space
from longplay.agents.runs.training import train
from longplay.agents.setting import Setting
from longplay.agents.slates.inputs import SlateInputs
from longplay.encoders.data.splits import hold_back
from longplay.encoders.outcomes.calibration import Isotonic, Platt
from longplay.encoders.outcomes.features import Categories, Standardiser
from longplay.encoders.outcomes.predictors import Components, InterestPredictor, RatingPredictor, RetentionPredictor
from longplay.encoders.outcomes.survival import ReturnTime
from longplay.encoders.registry import ENCODERS, load_encoder
from longplay.tests.envs.worlds import make_catalog
from longplay.tests.envs.worlds import vectors as random_vectors


class Context(RuleModels):
    """What rules shared, whose predicted minutes could be set."""

    minutes = property(lambda self: self.get(MinutesModel()), lambda self, minutes: self.put(MinutesModel(), minutes))


__all__ = [
    "CHECKPOINT",
    "ENCODERS",
    "ENVIRONMENTS",
    "LEAVES",
    "RULES",
    "Categories",
    "Components",
    "Context",
    "Evaluator",
    "Exploring",
    "Following",
    "InterestPredictor",
    "Isotonic",
    "LinearOracle",
    "OfflineConfig",
    "PlackettLuce",
    "Platt",
    "PredictedMinutes",
    "RatingPredictor",
    "RetentionPredictor",
    "ReturnTime",
    "RunConfig",
    "Setting",
    "SettingsSearch",
    "SlateInputs",
    "Standardiser",
    "SweepOptions",
    "Trees",
    "Tuned",
    "WeightSearch",
    "collect",
    "hold_back",
    "learn",
    "load_agent",
    "load_encoder",
    "load_offline",
    "load_rule",
    "log_lives",
    "logged_minutes",
    "make_catalog",
    "make_env",
    "make_run_space",
    "random_vectors",
    "read_log",
    "read_minari",
    "read_preset",
    "rows",
    "run_trial",
    "save_offline",
    "save_rule",
    "train",
    "tune",
    "weighted_scores",
    "write_log",
    "write_minari",
    "write_preset",
]
