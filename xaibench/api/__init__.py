"""The public Python API, by what it needs: arrays (`explaining`), the registry (`listing`), a store (`runs`).

`import xaibench as xb` offers all of it; nothing is imported here, so that scoring arrays does not
load what running suites takes.
"""
