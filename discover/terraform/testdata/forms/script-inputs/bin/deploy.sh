#!/bin/sh
set -e
kubectl create namespace gitops || true
helm upgrade --install gitops ./agent --set git.url=git@github.com:example/shop
