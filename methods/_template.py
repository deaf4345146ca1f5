"""NAME: one line on what the numbers are.

Reference: AUTHORS YEAR (key in docs/references.bib). Say what is yours and not the paper's.
Copy this file to methods/<name>.py; `gpex-bench check <name>` tests it.
"""

import torch

from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class Template(Explainer):
    """What it is, in one line."""

    reference = "montavon2018methods"
    # gradient, propagation, perturbation, evolutionary, surrogate, examples, or control; a control
    # declares its `role` too: such as Role.RANDOM for maps that are random numbers
    kind = "gradient"
    relative_to = "nothing"  # what the numbers compare x with, one of types.RelativeTo
    cost = "`n_draws` forward and backward rows per sample"
    needs = frozenset({Need.GRADIENT})  # what the dataset and the network must offer

    n_draws: int = 4  # a hyperparameter: the config can set it
    noise: float = 0.1  # s.d. of the noise, in the units of the data

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return relevance for each entry of query.x; a row depends on its own sample only."""
        total = torch.zeros_like(query.x)
        shape = query.x.shape[1:]
        # one generator a sample, never torch.manual_seed
        generators = [task.generator(sample) for sample in query.sample.tolist()]
        for _ in range(self.n_draws):
            noise = torch.stack([torch.randn(shape, generator=g) for g in generators])
            x = (query.x + self.noise * noise.to(query.x)).requires_grad_()  # query.x stays
            with torch.enable_grad():
                logit = task.model(x).gather(1, query.target[:, None]).sum()
                total += torch.autograd.grad(logit, x)[0]
        return Attribution(values=total / self.n_draws)
