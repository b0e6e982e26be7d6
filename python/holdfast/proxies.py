"""Which proxy a device is reached by: the one that was named, or the environment's where that was asked for."""

from __future__ import annotations

from holdfast.addresses import hosts
from holdfast.exceptions import InvalidArgumentError
from holdfast.secret import Secret

ENVIRONMENT = "environment"


def chosen(proxy: Secret | None, *addresses: str) -> Secret | None:
    """The proxy by which addresses `HOST[:PORT][,HOST…]` are reached; None where that is straight.

    Raises `InvalidArgumentError` where the environment says one way for some hosts and another for the rest.
    """
    if proxy is None or proxy.reveal("the proxy") != ENVIRONMENT:
        return proxy
    # It is slow to load, and few are asked for.
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = {name: Secret(url) for name, url in getproxies_environment().items()}
    found = proxies.get("https") or proxies.get("all")
    if found is None:
        return None
    wanted = [host for address in addresses for host in hosts(address)]
    straight = [host for host in wanted if proxy_bypass(host)]
    if straight and len(straight) < len(wanted):
        raise InvalidArgumentError(
            f"NO_PROXY names {', '.join(straight)}, and not the device's other addresses",
            hint="name the proxy itself, or all of the device's addresses in NO_PROXY",
        )
    if straight:
        return None
    return found.changed(lambda url: url if "://" in url else f"http://{url}")
