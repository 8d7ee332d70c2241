"""What tests hear of the library's log."""

import logging


class LinesHandler(logging.Handler):
    """Keep the text of every line from INFO on."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
