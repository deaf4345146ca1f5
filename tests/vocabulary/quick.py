"""The quickest config of every study: small data, few epochs, one seed where one is enough."""

from __future__ import annotations

from typing import Any

TABLE = {
    "networks": [{"dataset": "breast_cancer", "model": "mlp"}],
    "datasets": {"breast_cancer": None},
    "models": {"mlp": {"wide": 16, "training": {"epochs": 2}}},
}
IMAGES = {"epochs": 4, "batch_size": 20, "shift": 0, "occluded": 0.0}
# by the name of the study
QUICK: dict[str, dict[str, Any]] = {
    "budget": {
        **TABLE,
        "seeds": [1],
        "explain": {"samples": 4},
        "methods": {"lime_fast": None, "elime": {"population": 10}, "random_map": None},
        "metrics": {"srg": None},
        "budget": {
            "budgets": [16, 64],
            "reference_method": "lime_fast",
            "reference_budget": 64,
            "stability_budget": 64,
            "stability_seeds": 2,
            "stability_samples": 3,
        },
    },
    "claims": {
        **TABLE,
        "seeds": [1, 2],
        "headline": "selectivity",
        "explain": {"samples": 4, "fills": []},
        "methods": {"lrp": None, "sensitivity": None, "random_map": None},
        "metrics": {"selectivity": None},
        "claims": {
            "claims": [
                {
                    "text": "Propagated relevance is more selective than gradients",
                    "source": "montavon2018methods",
                    "method": "lrp",
                    "than": ["sensitivity", "random_map"],
                    "metric": "selectivity",
                }
            ]
        },
    },
    "debugging": {
        **TABLE,
        "seeds": [1],
        "debugging": {
            "classes": ["malignant", "benign"],
            "per_round": 8,
            "rounds": 1,
            "rankings": ["embedding", "random"],
        },
    },
    "grid": {
        **TABLE,
        "seeds": [1],
        "networks": [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex"]}],
        "surrogates": {"gpex": {"n_steps": 5}},
        "grid": {
            "question": "What does the learning rate do?",
            "axes": [
                {"name": "rate", "of": "surrogates.gpex.learning_rate", "values": [0.005, 0.01]}
            ],
            "x": "rate",
            "statistics": ["mean_r2"],
        },
    },
    "interactions": {
        "seeds": [1],
        "networks": [
            {"dataset": "shapes", "model": model} for model in ("bagnet", "vgg", "vgg_robust")
        ],
        "datasets": {"shapes": {"n_train": 200, "n_test": 100, "n_classes": 2}},
        "models": {
            "bagnet": {"width": 4, "wide": 16, "training": IMAGES},
            "vgg": {"width": 4, "wide": 16, "training": IMAGES},
            "vgg_robust": {
                "model": "vgg",
                "width": 4,
                "wide": 16,
                "training": IMAGES | {"adversarial": 0.002},
            },
        },
        "interactions": {
            "ladder": ["bagnet", "vgg"],
            "twins": [["vgg_robust", "vgg"]],
            "images": 4,
            "points": 4,
            "sides": 1,
        },
    },
    "metric_trust": {
        **TABLE,
        "seeds": [1],
        "explain": {"samples": 4, "robustness_samples": 2},
        "methods": {"gradient_x_input": None, "sensitivity": None},
        "metrics": {"srg": None, "sparseness": None},
        "metric_trust": {"perturbations": 1},
    },
    "references": {
        "seeds": [1],
        "explain": {"samples": 4, "fills": ["noise", "uniform", "train_mean"]},
        "networks": [{"dataset": "shapes", "model": "vgg"}],
        "datasets": {"shapes": {"n_train": 200, "n_test": 100, "n_classes": 2}},
        "models": {"vgg": {"width": 4, "wide": 16, "training": IMAGES}},
        "methods": {
            "ig": {"method": "integrated_gradients", "budget": 8},
            "ig_mean": {
                "method": "integrated_gradients",
                "budget": 8,
                "relative_to": "train_mean",
            },
            "random_map": None,
        },
        "references": {
            "families": {"integrated gradients": ["ig", "ig_mean"]},
            "source_methods": ["ig", "random_map"],
            "resamples": 20,
        },
    },
    "retraining": {
        **TABLE,
        "seeds": [1],
        "methods": {"gradient_x_input": None, "random_map": None},
        "retraining": {"shares": [0.2, 0.5], "train_samples": 100, "map_samples": 10, "longest": 4},
    },
    "truth": {
        "seeds": [1, 2],
        "headline": "srg",
        "explain": {"samples": 6, "fills": ["noise"]},
        "networks": [{"dataset": "switch", "model": "mlp"}],
        "datasets": {"switch": {"n_train": 1000, "n_test": 60, "others": 1}},
        "models": {"mlp": {"wide": 64, "training": {"epochs": 25, "occluded": 0.0}}},
        "methods": {
            "gradient_x_input": None,
            "sensitivity": None,
            "feature_ablation": None,
            "random_map": None,
        },
        "metrics": {"srg": None, "deletion": None, "rank_accuracy": None},
        "truth": {"holds": 0.5},
    },
    "variance": {
        **TABLE,
        "seeds": [1, 2],
        "explain": {"samples": 3, "fills": []},
        "networks": [
            {"dataset": "breast_cancer", "model": "mlp"},
            {"dataset": "breast_cancer_1", "model": "mlp"},
        ],
        "datasets": {
            "breast_cancer": {"seed": 0},
            "breast_cancer_1": {"dataset": "breast_cancer", "seed": 1},
        },
        "methods": {
            "gradient_x_input": None,
            "random_map": None,
            "random_map_1": {"method": "reseeded", "of": "random_map", "draw": 1},
        },
        "metrics": {"srg": None},
        "variance": {"matters": 0.1},
    },
}


def quick(study: str) -> dict[str, Any]:
    """Return the quickest config of a study; its run has the name of the study."""
    return {"run": study, **QUICK[study]}
