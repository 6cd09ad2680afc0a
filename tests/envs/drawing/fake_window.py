"""A matplotlib backend that says it has windows, so that what opens one is tested without a display."""

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

CANVASES = []


class FigureManager(FigureManagerBase):
    def show(self):
        self.canvas.shown = True


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager

    def __init__(self, figure=None):
        super().__init__(figure)
        self.shown, self.draws, self.pauses = False, 0, []
        CANVASES.append(self)

    def draw_idle(self, *args, **kwargs):
        self.draws += 1
        super().draw_idle(*args, **kwargs)

    def start_event_loop(self, timeout=0):
        self.pauses.append(timeout)
