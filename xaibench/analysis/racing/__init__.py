"""Racing: deciding after part of the samples which explainers are beaten, without more false decisions."""
