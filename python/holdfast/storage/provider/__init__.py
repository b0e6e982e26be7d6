"""The provider file: who is qualified, who runs the tasks, and where."""

from holdfast.storage.provider.file import ProviderFile
from holdfast.storage.provider.keys import ACCESS_MODES
from holdfast.storage.provider.reading import SHIPPED, read

__all__ = ["ACCESS_MODES", "SHIPPED", "ProviderFile", "read"]
