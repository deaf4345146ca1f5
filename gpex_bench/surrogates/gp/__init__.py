"""The algebra of Gaussian processes in weight space.

Notation of all modules here, of `gpex_fit` and of `docs/gpex.md`:

    x            an input; y = explained outputs of the network at x, one per head v
    standardised outputs, (y - offset) / scale; the processes model v u(x), f(x)   embedding of x in
    the kernel space of a group; the kernel is k(x, x') = u(x) . u(x') M, D         number of
    inducing points; dimension of a kernel space U, u_m       embeddings of the inducing points [M,
    D]; its row m A, b, c      U'U [D, D]; U'v [D]; v'v: all that a posterior needs of the inducing
    points s2           noise variance (the ridge), in units of the standardised outputs squared P
    A + s2 I, with the lower Cholesky factor L: P = L L' w            P^-1 b, the weights: the
    posterior mean of v at x is u(x) . w alpha_m      (v_m - u_m . w) / s2, representer weights: the
    mean is also sum_m alpha_m k(x, x_m) r_m, h_m     residual v_m - u_m . w; leverage u_m' P^-1 u_m
    Q, l         eigenvectors and eigenvalues of A = Q diag(l) Q'

Axes: row or point (an inducing point), batch (a query), group (a kernel), out (a head of a group),
head = group * out + output, dim (D), place (a location of a feature map).
"""
