"""python -m launcher api-keys list: who may use serve-api, and what they use."""

import argparse

from launcher.api.keys import ApiTenants, add_data_dir, open_store, tenant_dict
from launcher.api.tenants import list_tenants
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import columns, print_json, print_text


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    tenants = [tenant_dict(row) for row in list_tenants(open_store(options))]
    if options.json:
        result: ApiTenants = {"tenants": tenants}
        print_json(result)
        return Exit.OK
    rows = [
        [
            one["name"],
            "revoked" if one["revoked"] else "valid",
            f"{one['bytes'] / (1 << 20):,.1f} of {one['max_bytes'] >> 20:,}",
            f"{one['jobs']} of {one['max_jobs']}",
            f"{one['gpu_hours']:g}"
            + ("" if one["max_gpu_hours"] is None else f" of {one['max_gpu_hours']:g}"),
        ]
        for one in tenants
    ]
    print_text(columns(["name", "key", "MiB", "jobs", "GPU-hours"], rows) if rows else "no keys")
    return Exit.OK


def _add(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)


VERB = Verb(
    line="list who may use the server, and what they use",
    example="api-keys list --data-dir ~/api",
    add=_add,
    run=_run,
    prints=ApiTenants,
    runs_dir=False,
)
