"""What locations do."""

import pytest

pytest.register_assert_rewrite("locations.contract")
