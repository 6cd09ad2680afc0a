from .agents import RecurrentAgent as RecurrentAgent
from .agents import SB3Agent as SB3Agent
from .entry import SB3Entry as SB3Entry
from .slate_policy import SlatePolicy as SlatePolicy
from .slate_policy import SlateStates as SlateStates
from .vec_env import SlateVecEnv as SlateVecEnv
