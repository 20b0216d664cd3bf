"""Problems: names of data set and model resolved to data, a fitted model, samples and gates."""
