"""Files of results: what infer and detect write."""

from app.exchange.results._files import read_result, result_file

__all__ = ["read_result", "result_file"]
