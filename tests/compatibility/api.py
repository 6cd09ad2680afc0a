"""All that the files in ``saved`` are made and loaded with: where code moves, only this module follows."""

from longplay import ENVIRONMENTS
from longplay.agents.base import Following, rows
from longplay.agents.logs.collect import collect, make_env
from longplay.agents.logs.exploring import Exploring
from longplay.agents.logs.minari import read_minari, write_minari
from longplay.agents.logs.propensities import PlackettLuce, weighted_scores
from longplay.agents.offline.data import log_lives, read_log, write_log
from longplay.agents.offline.learning import OfflineConfig, learn
from longplay.agents.offline.learning import load_agent as load_offline
from longplay.agents.offline.learning import save_agent as save_offline
from longplay.agents.playing.evaluate import Evaluator
from longplay.agents.references.linear import LinearOracle
from longplay.agents.rules.minutes import LEAVES, PredictedMinutes, Trees, logged_minutes
from longplay.agents.rules.table import RULES, Context
from longplay.agents.rules.tuning import Tuned, tune
from longplay.agents.rules.tuning import load as load_rule
from longplay.agents.rules.tuning import save as save_rule
from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.presets import read_preset, write_preset
from longplay.agents.runs.progress import CHECKPOINT
from longplay.agents.runs.reading import load_agent
from longplay.agents.runs.search import SettingsSearch, run_trial
from longplay.agents.runs.search import SettingsSearch as WeightSearch
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
