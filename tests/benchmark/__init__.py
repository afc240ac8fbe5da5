# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What things cost, as ratios of two measurements on one machine: absolute times say nothing on another."""
