# A room of JupyterLab with everything in it, for a lab without an installation:
#   docker build -t eqgat .
#   docker run --rm -p 8888:8888 -v "$PWD/my-notebooks:/home/student/eqgat/my-notebooks" eqgat
FROM python:3.12-slim

RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends make npm chromium chromium-driver bubblewrap \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home student
USER student
WORKDIR /home/student/eqgat
COPY --chown=student . .
# The CPU build of PyTorch: the other one brings gigabytes of CUDA libraries.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN make install && make site
EXPOSE 8888
CMD ["sh", "-c", ".venv/bin/python -m eqgat coursework lab my-notebooks && exec .venv/bin/jupyter lab --ip=0.0.0.0 \
    --no-browser --LabApp.news_url=None my-notebooks/00_start_here.ipynb"]
