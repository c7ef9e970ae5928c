"""One codec of each kind and setting, for claims about all of them."""

import torch


def coarse(logits_NC, ids_Nk, temperature):
    """Log-probabilities of the classes, and of all others together: in float64, from all logits."""
    log_p_NC = (logits_NC / temperature).log_softmax(1)
    rest = log_p_NC.scatter(1, ids_Nk, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([log_p_NC.gather(1, ids_Nk), rest], dim=1)
