"""What every test shares: the event loop it runs on."""

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """Run asynchronous tests on the loop that the daemon runs on."""
    return {"uvloop": uvloop.new_event_loop}
