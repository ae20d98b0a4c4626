"""Domains: a frozen diffusion model, a CLIP model and images, behind one interface.

A domain is a YAML file. Shipped ones are named (`avatars`, `celebahq`); any other is the path of such a file.
Everything about shapes comes from the models; nothing here knows how many channels or pixels there are.

`loading` has the models; it imports torch, which plans need not.
"""

from trainables.h_space.domains.files import DomainError, DomainFile, read_domain_file, shipped_domains
from trainables.h_space.domains.summary import DomainSummary, domain_image_ids, domain_summary

__all__ = [
    "DomainError",
    "DomainFile",
    "DomainSummary",
    "domain_image_ids",
    "domain_summary",
    "read_domain_file",
    "shipped_domains",
]
