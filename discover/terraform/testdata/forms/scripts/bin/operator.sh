#!/bin/sh
helm upgrade -i helm-operator fluxcd/helm-operator --namespace flux
