"""How hard the classes are to tell apart, from what the generator draws.

usage: bayes.py [PHANTOMS]     (prints one JSON object)

The numbers are read from crates/phantom/src/classes.rs. Cases of both infections are drawn as the generator
draws them, and each is given to the class under which its latents are likelier: the best that anybody could
do who saw every latent. Where lesions lie within a lobe beyond "at the pleura or not" (the liking for the back
and for each other's neighbourhood) is left out, so that the bound with everything is a little higher. A case
without infection has no lesion, so the bound over the three classes counts it as always told.

With PHANTOMS, a folder that the example `save` filled with `2mm`, a logistic regression on mean lung HU, number
of lesions and infected volume is judged by five-fold cross-validation. Needs numpy, scipy and, for that,
SimpleITK and scikit-learn.
"""

import json
import os
import re
import sys

import numpy as np
from scipy.stats import norm

SOURCE = os.path.join(os.path.dirname(__file__), "../../crates/phantom/src/classes.rs")
rng = np.random.default_rng(1)
TRAITS = {"paving": None, "band": True, "cuff": False, "buds": False, "vessels": None}
CASE_SIGNS = ("diffuse", "lobar", "effusion", "thick_walls", "mucus", "nodes")


def looks():
    """The constants of both classes."""
    text = re.sub(r"//.*", "", open(SOURCE).read())
    out = {}
    for name in ("COVID", "INFLUENZA"):
        block = re.search(rf"const {name}: ClassLook = ClassLook \{{(.*?)\n\}};", text, re.S).group(1)
        fields = re.findall(r"(\w+): (?:with)?([\[(]?[-\d., \n]+[\])]?)", block)
        numbers = {k: [float(n) for n in re.findall(r"\d+\.?\d*", v)] for k, v in fields}
        out[name] = {k: v if len(v) > 1 else v[0] for k, v in numbers.items()}
    return out


def draw(look):
    lobes = rng.random(5) < look["lobes"]
    if not lobes.any():
        lobes[rng.choice(5, p=np.array(look["lobes"]) / sum(look["lobes"]))] = True
    share = np.clip(look["peripheral"] + look["spread"] * rng.normal(), 0.03, 0.98)
    count = int(np.clip(round(look["lesions"][0] * np.exp(look["lesions"][1] * rng.normal())), 1, 26))
    count = max(count, int(lobes.sum()))
    weights = kind_weights(look, np.array([rng.uniform(-0.6, 0.6)]))[0]
    median = look["radius"][0] * np.exp(look["size"] * rng.normal())
    case = {
        "lobes": lobes,
        "count": count,
        "peripheral": rng.random(count) < share,
        "radius": np.log(median) + look["radius"][1] * rng.normal(size=count),
        "kinds": rng.choice(3, size=count, p=weights),
        "reversed_halo": rng.random(count) < look["reversed_halo"],
    }
    for sign in CASE_SIGNS:
        case[sign] = rng.random() < look[sign]
    for sign in TRAITS:
        p, lesion, stray = look[sign]
        case[sign] = rng.random(count) < (lesion if rng.random() < p else stray)
    return case


def kind_weights(look, density):
    k = np.array(look["kinds"]) * np.stack([1 - 0.5 * density, np.ones_like(density), 1 + density], 1)
    return k / k.sum(1, keepdims=True)


def bernoulli(seen, p):
    return float(np.where(seen, np.log(p), np.log1p(-np.asarray(p))).sum())


GRID = np.linspace(-3.5, 3.5, 71)
WEIGHT = norm.pdf(GRID) / norm.pdf(GRID).sum()


def likelihood(case, look, signs):
    """Logarithm of the probability of the signs; what is hidden is summed over."""
    total, n = 0.0, case["count"]
    if "lobes" in signs:
        total += bernoulli(case["lobes"], look["lobes"])
    if "count" in signs:
        centre, width = np.log(look["lesions"][0]), look["lesions"][1]
        ends = norm.cdf((np.log([n + 0.5, max(n - 0.5, 1e-9)]) - centre) / width)
        total += np.log(max(ends[0] - ends[1], 1e-9))
    if "peripheral" in signs:
        share = np.clip(look["peripheral"] + look["spread"] * GRID, 0.03, 0.98)
        k = case["peripheral"].sum()
        total += np.log((WEIGHT * share**k * (1 - share) ** (n - k)).sum())
    if "radius" in signs:
        centre = np.log(look["radius"][0]) + look["size"] * GRID
        each = norm.logpdf(case["radius"][None], centre[:, None], look["radius"][1]).sum(1)
        total += np.log((WEIGHT * np.exp(each - each.max())).sum()) + each.max()
    if "kinds" in signs:
        w = kind_weights(look, np.linspace(-0.6, 0.6, 13))
        total += np.log(np.exp(np.log(w)[:, case["kinds"]].sum(1)).mean())
    if "reversed_halo" in signs:
        total += bernoulli(case["reversed_halo"], look["reversed_halo"])
    for sign in CASE_SIGNS:
        if sign in signs:
            total += bernoulli(case[sign], look[sign])
    for sign, at_pleura in TRAITS.items():
        if sign in signs:
            p, lesion, stray = look[sign]
            where = np.ones(n, bool) if at_pleura is None else case["peripheral"] == at_pleura
            k, m = case[sign][where].sum(), where.sum()
            total += np.log(p * lesion**k * (1 - lesion) ** (m - k) + (1 - p) * stray**k * (1 - stray) ** (m - k))
    return total


def told(both, signs, cases):
    """Expected accuracy of the better guess, and its standard error."""
    right = []
    for name in both:
        for case in cases[name]:
            d = likelihood(case, both["COVID"], signs) - likelihood(case, both["INFLUENZA"], signs)
            right.append(1 / (1 + np.exp(-abs(d))))
    return round(float(np.mean(right)), 3)


def regression(folder):
    import glob

    import SimpleITK as sitk
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, names = [], []
    for f in sorted(glob.glob(os.path.join(folder, "*", ""))):
        read = lambda n: sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(os.path.join(f, n)), "LPS"))
        truth = json.load(open(os.path.join(f, "truth.json")))
        lungs = read("lungs.nii.gz") > 0
        rows.append([read("ct.nii.gz")[lungs].mean(), truth["latents"]["lesions"], sum(r["volume_ml"] for r in truth["regions"])])
        names.append(truth["class"])
    x, y = np.array(rows), np.array(names)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    sick = y != "no-infection-found"
    accuracy = lambda x, y: round(float((cross_val_predict(model, x, y, cv=5) == y).mean()), 3)
    return {"cases": len(y), "two_infections": accuracy(x[sick], y[sick]), "lung_hu_alone_three_classes": accuracy(x[:, :1], y),
            "three_classes_with_the_truths_lesions": accuracy(x, y)}


def main():
    both = looks()
    cases = {name: [draw(look) for _ in range(3000)] for name, look in both.items()}
    every = ("lobes", "count", "peripheral", "radius", "kinds", "reversed_halo", *CASE_SIGNS, *TRAITS)
    all_signs = told(both, every, cases)
    out = {
        "cases_a_class": 3000,
        "two_infections": all_signs,
        "three_classes": round((1 + 2 * all_signs) / 3, 3),
        "two_infections_by_location_alone": told(both, ("lobes", "peripheral"), cases),
        "two_infections_without_location": told(both, [s for s in every if s not in ("lobes", "peripheral", "band", "cuff", "buds")], cases),
        "two_infections_by_one_sign": {s: told(both, (s,), cases) for s in every},
    }
    if len(sys.argv) > 1:
        out["logistic_regression"] = regression(sys.argv[1])
    print(json.dumps(out, indent=1))


main()
