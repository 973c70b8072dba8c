from tests.tuning.conftest import tiny_bases

__all__ = ["tiny_bases"]
