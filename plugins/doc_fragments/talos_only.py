# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of Kubernetes for a module that does not ask it. Named before the fragment connection."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Has no effect here. It is accepted so that defaults of the action group fit.
    type: str
  kubeconfig_content:
    description:
      - Has no effect here. It is accepted so that defaults of the action group fit.
    type: raw
  kube_context:
    description:
      - Has no effect here. It is accepted so that defaults of the action group fit.
    type: str
"""
