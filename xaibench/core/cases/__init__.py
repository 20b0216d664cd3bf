"""Cases: things that are explained together with a known truth, and the answers that explainers give about them."""
