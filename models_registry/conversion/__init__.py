"""Third-party models to bundles: their files are read in a process of its own, and only tensors and numbers come out.

`child` reads (the only place where a checkpoint or TorchScript archive is loaded), `families` say what each kind of
source becomes, `usecases` start the child, check what it wrote and lay the bundle out.
"""
