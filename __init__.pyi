from .encoders.text.encoder import TextEncoder as TextEncoder
from .envs.catalogs.catalog import Catalog as Catalog
from .envs.catalogs.filling import fill_from_log as fill_from_log
from .envs.catalogs.films import load_films as load_films
from .envs.catalogs.table import CatalogError as CatalogError
from .envs.catalogs.texts import attribute_to_text as attribute_to_text
from .envs.env import SlateVectorEnv as SlateVectorEnv
from .envs.make import make_world as make_world
from .envs.named.registry import ENVIRONMENTS as ENVIRONMENTS
from .envs.single import SlateEnv as SlateEnv
from .envs.users.constants import ScenarioError as ScenarioError
from .envs.users.opinions import answer_by as answer_by
from .envs.users.params import Scenario as Scenario
from .envs.users.world import World as World
from .envs.users.world import build_world as build_world

__version__: str
