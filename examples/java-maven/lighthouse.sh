#!/bin/sh
exec java -jar /opt/lighthouse/lighthouse-1.0.0.jar "$@"
