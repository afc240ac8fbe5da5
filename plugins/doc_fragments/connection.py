# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How a task reaches a cluster: the same options for every module that connects."""

    DOCUMENTATION = r"""
options:
  talosconfig:
    description:
      - Path of the talosconfig on the control node. A file that is encrypted by ansible-vault is read too.
      - When neither this nor O(talosconfig_content) is set, the first that exists is taken of the file that E(TALOSCONFIG) names,
        C(config) in the directory E(TALOS_HOME) or in C(~/.talos), and C(/var/run/secrets/talos.dev/config).
      - It is read, and written by M(talosops.talos.talos_client_config) alone.
    type: path
  talosconfig_content:
    description:
      - The talosconfig itself, as text or as a mapping, for example from a vaulted variable or a lookup.
      - Mutually exclusive with O(talosconfig).
    type: raw
  context:
    description:
      - Name of the context in the talosconfig.
      - When not set, E(TALOS_CONTEXT); else the name of the inventory host, which must then be a context of the file;
        else, for a task of C(localhost), the current context of the file.
    type: str
  endpoints:
    description:
      - Addresses of control plane nodes through which the cluster is asked, instead of those in the talosconfig.
    type: list
    elements: str
  nodes:
    description:
      - Addresses of machines to ask, in addition to those that the talosconfig, discovery, etcd and Kubernetes name.
    type: list
    elements: str
  kubeconfig:
    description:
      - Path of a kubeconfig on the control node. The word V(env) takes the one that E(KUBECONFIG) names; the environment is never used unasked.
      - Without a kubeconfig the one that Talos issues is used, which needs the role C(os:admin) and lives in memory only.
    type: str
  kubeconfig_content:
    description:
      - The kubeconfig itself, as text or as a mapping.
      - Mutually exclusive with O(kubeconfig).
    type: raw
  kube_context:
    description:
      - Name of the context in the kubeconfig; its current one when not set.
    type: str
  proxy:
    description:
      - URL of an HTTP proxy that allows CONNECT. V(none) goes directly whatever the environment says.
      - When not set, C(proxy-url) of the talosconfig, else E(HTTPS_PROXY) where E(NO_PROXY) does not name the endpoint.
    type: str
  timeout:
    description:
      - Seconds that one call may take, counted from when it is sent.
    type: float
    default: 10.0
  deadline:
    description:
      - Seconds that everything together may take. What was not asked by then counts as not asked, never as healthy.
    type: float
    default: 60.0
requirements:
  - python >= 3.11
  - grpcio >= 1.51
  - protobuf >= 4.21
  - PyYAML
  - cryptography
  - urllib3
  - kubernetes >= 24.2 (where a kubeconfig names an exec plugin)
notes:
  - With a local connection the task runs within Ansible itself and ships nothing. C(become) has no effect then.
  - To reach a cluster through another host, use C(delegate_to) and that host's connection, see the role P(talosops.talos.gather#role).
    The credentials are read on the control node in either case.
"""
